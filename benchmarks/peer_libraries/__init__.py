"""Other projects' recommenders, fitted on our splits and wrapped for our evaluator."""
