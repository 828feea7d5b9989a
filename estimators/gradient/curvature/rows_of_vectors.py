"""Inner products and orthonormal bases of long rows in few passes; sums are float64 throughout."""

import torch
from torch import Tensor

DEPENDENT = {torch.float64: 1e-14, torch.float32: 1e-7}
"""Squared lengths, relative to the longest, below which a direction is what rounding left of dependent ones."""
TWICE = 1e-4
"""The same, below which one pass leaves directions that are not orthogonal to rounding."""
TOGETHER = 4096
"""Numbers of a row in float64 at once: they stay in the cache."""


def lengths(vectors: Tensor) -> Tensor:
    """Of rows [k, p], [k] float64."""
    found: Tensor = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64)
    return found


def dots(one: Tensor, *others: Tensor) -> Tensor:
    """Inner products of rows [k, p] with those of all others, [k, m] float64; without others with themselves."""
    count = sum(map(len, others)) if others else len(one)
    total = torch.zeros(len(one), count, dtype=torch.float64, device=one.device)
    for at in range(0, one.shape[1], TOGETHER):
        piece = one[:, at : at + TOGETHER].double()
        met = [each[:, at : at + TOGETHER] for each in others]
        total.addmm_(piece, torch.cat(met).double().T if met else piece.T)
    return total


def orthonormal(vectors: Tensor) -> Tensor:
    """Orthonormal rows that span those of vectors [k, p], each taken at length 1; fewer where they depend."""
    units = vectors
    for _ in range(2):  # twice is enough, and once where none nearly depends on others
        if not len(units):
            break
        gram = dots(units)
        scales = gram.diagonal().rsqrt().where(gram.diagonal() > 0, 0.0)
        values, turns = torch.linalg.eigh(scales[:, None] * gram * scales)
        kept = values > DEPENDENT[vectors.dtype] * values[-1]
        units = (scales[:, None] * turns[:, kept] / values[kept].sqrt()).T.to(vectors.dtype) @ units
        if bool((values[kept] > TWICE * values[-1]).all()):
            break
    return units
