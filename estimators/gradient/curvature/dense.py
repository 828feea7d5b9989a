"""The curvature written out, [p, p]: the oracle of every other solver, for a few thousand parameters."""

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.products import CurvatureProducts
from estimators.gradient.curvature.protocol import Filter, SpectralCurvature
from estimators.gradient.layout import Layout

MOST_PARAMETERS = 10_000
COLUMNS_AT_ONCE = 256


class DenseCurvature(SpectralCurvature):
    """Eigenvalues [p] and eigenvectors [p, p] of the curvature with its penalty, in float64.

    Negative eigenvalues of C + damping are set to 0 + damping, and the fact is told: the inverse would turn the sign of
    those directions.
    """

    def __init__(self, layout: Layout, eigenvalues: Tensor, eigenvectors: Tensor, damping: float) -> None:
        smallest = float(eigenvalues.min())
        clipped = int((eigenvalues + damping <= 0).sum())
        super().__init__(layout, damping, {"smallest eigenvalue": smallest, "eigenvalues clipped": float(clipped)})
        self.eigenvalues = eigenvalues.clamp(min=0) if clipped else eigenvalues
        self.eigenvectors = eigenvectors

    def apply(self, function: Filter, vectors: Tensor) -> Tensor:
        """V f(mu) V^T v."""
        dots = vectors.double() @ self.eigenvectors
        return ((dots * function(self.eigenvalues)) @ self.eigenvectors.T).to(vectors.dtype)


def fit_dense(products: CurvatureProducts, *, damping: float) -> DenseCurvature:
    """The matrix by its columns, then its eigenvalues.

    Raises:
        EstimatorError: too many parameters, or a singular matrix without damping.
    """
    p = products.size
    if p > MOST_PARAMETERS:
        raise EstimatorError(
            f"the exact curvature of {p:,} parameters would take {p * p * 8 / 1e9:,.0f} GB; take conjugate_gradient, "
            f"lanczos or ekfac, or fewer layers (at most {MOST_PARAMETERS:,} parameters)"
        )
    matrix = dense_matrix(products)
    eigenvalues, eigenvectors = torch.linalg.eigh(matrix)
    curvature = DenseCurvature(products.source.layout, eigenvalues, eigenvectors, damping)
    if float((curvature.eigenvalues + damping).min()) <= 0:
        raise EstimatorError("the curvature is singular and damping is 0: give a damping above 0")
    return curvature


def dense_matrix(products: CurvatureProducts) -> Tensor:
    """The curvature with its penalty [p, p], float64, symmetric."""
    eye = torch.eye(products.size, dtype=products.source.dtype, device=products.source.device)
    columns = [products(eye[at : at + COLUMNS_AT_ONCE]).double() for at in range(0, products.size, COLUMNS_AT_ONCE)]
    matrix = torch.cat(columns)
    return (matrix + matrix.T) / 2
