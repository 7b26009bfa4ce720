"""What is remembered: runs, decisions and model versions. The only package that imports mlflow."""
