"""The empirical Fisher inverted exactly through its n x n Gram matrix: the solver for n < p.

A = (1/n) G^T G + d with d = damping + penalty, so A^-1 v = (v - G' ^T (n I + G G'^T)^-1 G v') / d with G' = G / d.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.layout import Layout
from estimators.gradient.rows import GradientRows

MOST_ROWS = 20_000
RowBlocks = Callable[[], Iterator[GradientRows]]


class Woodbury(Curvature):
    """Exact solve with the damped empirical Fisher, from gradients that are streamed and never all written out."""

    def __init__(self, layout: Layout, blocks: RowBlocks, factor: Tensor, diagonal: float) -> None:
        super().__init__(layout, diagonal, {"rank": float(len(factor))})
        self._blocks = blocks
        self._factor = factor

    def solve(self, vectors: Tensor) -> Tensor:
        """A^-1 v."""
        parts = tuple(part.contiguous() for part in self.layout.split(vectors))
        dots = torch.cat([rows.times(parts) for rows in self._blocks()])
        weights = torch.cholesky_solve(dots, self._factor).T
        total, start = torch.zeros_like(vectors), 0
        for rows in self._blocks():
            total += rows.mix(weights[:, start : start + len(rows)].to(vectors.dtype))
            start += len(rows)
        return (vectors - total) / self.damping


def fit_woodbury(layout: Layout, blocks: RowBlocks, *, diagonal: float) -> Woodbury:
    """The factor of n d I + G G^T, [n, n] float64, from inner products of gradients.

    Raises:
        EstimatorError: diagonal 0 or below, or too many instances for an [n, n] matrix.
    """
    if diagonal <= 0:
        raise EstimatorError("woodbury needs a damping above 0: with fewer instances than parameters F is singular")
    held = list(blocks())
    n = sum(len(rows) for rows in held)
    if n > MOST_ROWS:
        raise EstimatorError(f"woodbury makes a matrix of {n:,} x {n:,}; above {MOST_ROWS:,} instances take ekfac")
    gram = torch.cat([torch.cat([one.dot(other) for other in held], dim=1) for one in held])
    gram.diagonal().add_(n * diagonal)
    return Woodbury(layout, lambda: iter(held), torch.linalg.cholesky(gram), diagonal)
