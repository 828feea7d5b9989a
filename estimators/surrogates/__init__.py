"""Surrogates: models of the loss as a function of the subset, which estimators subtract before they average."""
