"""The job file: YAML with lines, its schema, and errors that point."""
