"""MLflow: runs, metrics through a journal, and the lease."""
