"""Jobs sent to a Ray cluster: what travels, and Ray's Jobs API."""
