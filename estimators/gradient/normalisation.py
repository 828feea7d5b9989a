"""Factors that make gradients comparable: GAS, GAS-L, RelatIF, renormalised influence."""

from torch import Tensor

from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.record import Normalise
from estimators.gradient.rows import GradientRows


def layer_normalised(rows: GradientRows, normalise: Normalise) -> GradientRows:
    """For `layers`, each layer's part of each gradient at length 1; else the rows as they are."""
    if normalise != "layers":
        return rows
    return rows.scaled_by_layer([_inverse(layer.row_dot(layer).double().sqrt()) for layer in rows.layers])


def train_factors(
    rows: GradientRows, rotated: GradientRows, curvature: Curvature, normalise: Normalise
) -> Tensor | None:
    """Factor [b] float64 of each training gradient, None for 1."""
    if normalise in {"train", "both"}:
        return _inverse(rows.squared_norms().sqrt())
    if normalise == "relative_theta":
        return _inverse(curvature.energies(rotated, power=2).clamp(min=0).sqrt())
    if normalise == "relative_loss":
        return _inverse(curvature.energies(rotated, power=1).clamp(min=0).sqrt())
    return None


def test_factors(rows: GradientRows, normalise: Normalise) -> Tensor | None:
    """Factor [m] float64 of each test gradient, None for 1."""
    return _inverse(rows.squared_norms().sqrt()) if normalise == "both" else None


def _inverse(norms: Tensor) -> Tensor:
    return (1.0 / norms).where(norms > 0, norms.new_zeros(()))
