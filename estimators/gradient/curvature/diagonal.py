"""The diagonal of the empirical Fisher."""

from collections.abc import Iterator

import torch
from torch import Tensor

from estimators.gradient.curvature.protocol import Filter, SpectralCurvature
from estimators.gradient.layout import Layout
from estimators.gradient.rows import GradientRows


class Diagonal(SpectralCurvature):
    """A = diag(mu) + damping, mu [p] = E_i[g_i^2] + penalty."""

    def __init__(self, layout: Layout, eigenvalues: Tensor, damping: float) -> None:
        super().__init__(layout, damping, {"smallest eigenvalue": float(eigenvalues.min())})
        self.eigenvalues = eigenvalues

    def apply(self, function: Filter, vectors: Tensor) -> Tensor:
        """f(mu) v."""
        return vectors * function(self.eigenvalues)


def fit_diagonal(layout: Layout, blocks: Iterator[GradientRows], penalties: Tensor, *, damping: float) -> Diagonal:
    """Mean squared gradients of all training instances."""
    total, n = torch.zeros(layout.size, dtype=torch.float64, device=penalties.device), 0
    for rows in blocks:
        total += rows.dense().square().sum(dim=0)
        n += len(rows)
    return Diagonal(layout, (total / n).to(penalties.dtype) + penalties, damping)
