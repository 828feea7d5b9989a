"""The loss store as the driver reads it: rows by name over all chunk files."""
