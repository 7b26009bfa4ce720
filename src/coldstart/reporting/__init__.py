"""Results as pages and tables that people look at."""
