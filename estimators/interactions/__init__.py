"""Interactions of pairs of training instances: do two together change the loss by more than the sum of each?"""
