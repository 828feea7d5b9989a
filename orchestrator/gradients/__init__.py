"""Gradient methods of a job: beside the campaigns, in the same store, resumable block by block."""
