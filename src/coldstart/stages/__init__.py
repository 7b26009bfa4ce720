"""One file per stage: read, call the library, write. Nothing here knows of Airflow."""
