"""Aggregators: losses of subsets in, values with standard errors out. The registry names them."""
