"""Nystroem's sketch of the curvature: C ~ (C O) (O^T C O)^-1 (C O)^T, and its damped inverse on the whole space.

Hataya and Yamada, UAI 2023; Frangella, Tropp and Udell, SIAM J. Matrix Anal. Appl. 2023.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.protocol import Filter, SpectralCurvature
from estimators.gradient.layout import Layout


class LowRank(SpectralCurvature):
    """V diag(mu) V^T with orthonormal V [k, p], 0 on the rest of the space: f(mu) there is f(0)."""

    def __init__(
        self, layout: Layout, eigenvalues: Tensor, vectors: Tensor, damping: float, facts: dict[str, float]
    ) -> None:
        super().__init__(layout, damping, facts)
        self.eigenvalues = eigenvalues
        self.vectors = vectors

    def apply(self, function: Filter, vectors: Tensor) -> Tensor:
        """f(0) v + V (f(mu) - f(0)) V^T v."""
        rest = function(torch.zeros_like(self.eigenvalues[:1]))
        return rest * vectors + ((vectors @ self.vectors.T) * (function(self.eigenvalues) - rest)) @ self.vectors


def fit_nystroem(products: Callable[[Tensor], Tensor], layout: Layout, sketch: Tensor, *, damping: float) -> LowRank:
    """From products with an orthonormalised random sketch [k, p]. The curvature must be positive semi-definite.

    Raises:
        EstimatorError: damping 0, or a curvature with clearly negative eigenvalues.
    """
    if damping <= 0:
        raise EstimatorError("nystroem needs a damping above 0: outside its rank the curvature is taken as 0")
    directions = torch.linalg.qr(sketch.T.double()).Q.T.to(sketch.dtype)
    images = products(directions).double()
    inner = images @ directions.T.double()
    values, vectors = torch.linalg.eigh((inner + inner.T) / 2)
    largest = float(values.abs().max())
    if float(values.min()) < -1e-3 * largest:
        raise EstimatorError("nystroem needs a positive semi-definite curvature: take gauss_newton or fisher")
    kept = values > 1e-10 * largest
    roots = (vectors[:, kept] / values[kept].sqrt()).T @ images
    left, singular, right = torch.linalg.svd(roots, full_matrices=False)
    del left
    facts = {"rank": float(kept.sum()), "smallest eigenvalue": float(values.min())}
    return LowRank(layout, singular.square().to(sketch.dtype), right.to(sketch.dtype).contiguous(), damping, facts)
