"""Gradient estimators: influence from one training trajectory. Importing this does not import torch."""
