"""Arnoldi's method for a symmetric curvature (Lanczos): its outermost eigenpairs, and influence in their span alone.

Schioppa, Zablotskaia, Vilar and Sokolov, AAAI 2022.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.protocol import Filter, SpectralCurvature
from estimators.gradient.layout import Layout
from estimators.gradient.rows import GradientRows, dense_rows

BREAKDOWN = 1e-10
SMALLEST = 1e-8


class Lanczos(SpectralCurvature):
    """A^-1 in the span of k eigenvectors: V f(mu) V^T, the rest of the space dropped. Negative mu keep their sign.

    vectors: [k, p]. facts["residual"]: the largest ||C v - mu v|| / |mu_max| of the pairs kept.
    """

    def __init__(
        self, layout: Layout, eigenvalues: Tensor, vectors: Tensor, damping: float, facts: dict[str, float]
    ) -> None:
        super().__init__(layout, damping, facts)
        self.eigenvalues = eigenvalues
        self.vectors = vectors
        self._parts = tuple(part.contiguous() for part in layout.split(vectors))

    def apply(self, function: Filter, vectors: Tensor) -> Tensor:
        """V f(mu) V^T v."""
        return ((vectors @ self.vectors.T) * function(self.eigenvalues)) @ self.vectors

    def rotate(self, rows: GradientRows) -> GradientRows:
        """V^T g, [b, k]: gradients are not written out."""
        return dense_rows(rows.times(self._parts).to(self.vectors.dtype))

    def solved(self, rotated: GradientRows) -> tuple[Tensor, ...]:
        """V^T g over (mu + damping)."""
        return (rotated.dense() * self.inverse(self.eigenvalues),)


def fit_lanczos(
    products: Callable[[Tensor], Tensor],
    layout: Layout,
    start: Tensor,
    *,
    rank: int,
    iterations: int,
    damping: float = 0.0,
) -> Lanczos:
    """`iterations` steps from a start vector [p], re-orthogonalised twice; the `rank` largest |mu| are kept.

    Stops where the Krylov space is exhausted. Eigenvalues with |mu + damping| below 1e-8 of the largest are dropped.

    Raises:
        EstimatorError: nothing is left.
    """
    basis, alphas, betas = _krylov(products, start, min(iterations, len(start)))
    small = torch.diag(alphas) + torch.diag(betas[:-1], 1) + torch.diag(betas[:-1], -1)
    values, inner = torch.linalg.eigh(small)
    order = values.abs().argsort(descending=True)[:rank]
    order = order[(values[order] + damping).abs() > SMALLEST * values.abs().max()]
    if not len(order):
        raise EstimatorError("the curvature is zero in the Krylov space of the start vector")
    kept, mixed = values[order], inner[:, order]
    errors = (betas[-1] * mixed[-1]).abs() / values.abs().max()
    facts = {
        "rank": float(len(order)),
        "iterations": float(len(alphas)),
        "residual": float(errors.max()),
        "smallest eigenvalue": float(kept.min()),
    }
    vectors = (mixed.T.to(basis.dtype) @ basis).contiguous()
    return Lanczos(layout, kept.to(basis.dtype), vectors, damping, facts)


def _krylov(products: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Basis [m, p], diagonal [m] and off-diagonal [m] float64; the last off-diagonal leads out of the space."""
    basis = torch.empty(steps, len(start), dtype=start.dtype, device=start.device)
    alphas, betas = [], []
    vector = start / start.norm()
    for step in range(steps):
        basis[step] = vector
        moved = products(vector[None])[0]
        alphas.append(float(moved.double() @ vector.double()))
        for _ in range(2):
            moved = moved - (basis[: step + 1] @ moved) @ basis[: step + 1]
        betas.append(float(moved.double().norm()))
        if betas[-1] <= BREAKDOWN * max(abs(alpha) for alpha in alphas):
            break
        vector = moved / betas[-1]
    kept = len(alphas)
    as_tensor = {"dtype": torch.float64, "device": start.device}
    return basis[:kept], torch.tensor(alphas, **as_tensor), torch.tensor(betas, **as_tensor)  # type: ignore[arg-type]
