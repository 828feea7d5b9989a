"""Influences over blocks of test instances: in this process or on Ray, the same bits."""
