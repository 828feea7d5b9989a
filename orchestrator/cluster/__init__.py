"""Ray: a cluster started or reached, its crew of actors, and their checks."""
