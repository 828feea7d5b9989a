"""A job's data: read, checked, encoded, with the identity of every instance."""
