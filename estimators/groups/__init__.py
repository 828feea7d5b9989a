"""Influence of groups of training instances: a class, a source, a patient, a cluster."""
