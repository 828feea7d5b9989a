"""K-FAC and EK-FAC: each layer's curvature in the eigenbasis of a Kronecker product of two small matrices.

Martens and Grosse, ICML 2015; Grosse and Martens, ICML 2016 (convolutions); George et al., NeurIPS 2018 (EK-FAC);
Grosse et al., arXiv 2308.03296 (influence functions). Curvature across layers is left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.convolved import Convolved
from estimators.gradient.curvature.layer_basis import LayerBasis
from estimators.gradient.curvature.protocol import Filter, SpectralCurvature
from estimators.gradient.forms import LayerRows, Moments, Outer
from estimators.gradient.layout import Layer, Layout
from estimators.gradient.objective import Instances
from estimators.gradient.rows import GradientRows
from estimators.gradient.source import GradientSource

Labels = Literal["true", "sampled"]
"""true: the empirical Fisher. sampled: labels drawn from the model, the true Fisher by one draw an instance."""
AUTOMATIC_DAMPING = 0.1
"""Damping of a layer as a share of its mean eigenvalue (Grosse et al. 2023)."""


class KroneckerCurvature(SpectralCurvature):
    """Block-diagonal over layers; each block diagonal in its basis. bases: one a layer; dampings: one a layer."""

    def __init__(
        self, layout: Layout, bases: tuple[LayerBasis, ...], dampings: tuple[float, ...], facts: dict[str, float]
    ) -> None:
        super().__init__(layout, sum(dampings) / len(dampings), facts)
        self.bases = bases
        self.dampings = dampings

    def apply(self, function: Filter, vectors: Tensor) -> Tensor:
        """f(C + penalty) v."""
        return self._applied([function] * len(self.bases), vectors)

    def solve(self, vectors: Tensor) -> Tensor:
        """A^-1 v, each layer with its own damping."""
        return self._applied([_inverse(damping) for damping in self.dampings], vectors)

    def _applied(self, functions: list[Filter], vectors: Tensor) -> Tensor:
        parts = zip(self.bases, functions, self.layout.split(vectors), strict=True)
        return torch.cat([b.back(b.rotate_vectors(v) * f(b.eigenvalues).flatten()) for b, f, v in parts], dim=1)

    def rotate(self, rows: GradientRows) -> GradientRows:
        """Gradients in the layers' eigenbases; factored ones stay factored."""
        layers = tuple(basis.rotate(layer) for basis, layer in zip(self.bases, rows.layers, strict=True))
        return replace(rows, layers=layers)

    def solved(self, rotated: GradientRows) -> tuple[Tensor, ...]:
        """Rotated gradients over (eigenvalues + damping)."""
        parts = zip(self.bases, self.dampings, rotated.layers, strict=True)
        return tuple(layer.dense() / (basis.eigenvalues.flatten() + damping) for basis, damping, layer in parts)

    def energies(self, rotated: GradientRows, *, power: int = 1) -> Tensor:
        """g^T A^-power g [b]; a plain network's from squares of its factors, without writing gradients out."""
        total = torch.zeros(len(rotated), dtype=torch.float64, device=rotated.losses.device)
        for basis, damping, layer in zip(self.bases, self.dampings, rotated.layers, strict=True):
            weights = (basis.eigenvalues + damping) ** -power
            if isinstance(layer, Outer) and layer.inputs.shape[1] == 1:
                total += ((layer.slopes[:, 0].square() @ weights) * layer.inputs[:, 0].square()).sum(dim=1)
            else:
                total += layer.dense().square() @ weights.flatten()
        return total


def _inverse(damping: float) -> Filter:
    return lambda eigenvalues: 1.0 / (eigenvalues + damping)


def fit_kronecker(
    source: GradientSource,
    instances: Instances,
    *,
    corrected: bool = True,
    labels: Labels = "sampled",
    damping: float | None = None,
    seed: int = 0,
) -> KroneckerCurvature:
    """EK-FAC (corrected) or K-FAC from two passes over instances.

    corrected: eigenvalues are E_i[(Q_S^T G_i Q_A)^2] of whole-instance gradients instead of products of the factors'
    eigenvalues. damping: None = 0.1 times each layer's mean eigenvalue. Layers that are neither linear nor a
    convolution get their diagonal Fisher.

    Raises:
        EstimatorError: labels are to be drawn from a loss that is no likelihood.
    """
    blocks = _labelled(source, instances, labels, seed)
    covariances = _covariances(source, blocks, len(instances))
    factors = [_factors(layer, each, source) for layer, each in zip(source.layout.layers, covariances, strict=True)]
    if corrected or any(basis.outputs is None for basis in factors):
        measured = _measured(blocks, factors, len(instances))
        factors = [m if corrected or m.outputs is None else f for f, m in zip(factors, measured, strict=True)]
    penalties = source.layout.split(source.penalties()[None])
    found = tuple(
        replace(basis, eigenvalues=basis.eigenvalues + penalty.mean())
        for basis, penalty in zip(factors, penalties, strict=True)
    )
    automatic = [AUTOMATIC_DAMPING * float(basis.eigenvalues.mean()) for basis in found]
    dampings = tuple(automatic if damping is None else [damping] * len(found))
    diagonal = sum(basis.outputs is None for basis in found)
    return KroneckerCurvature(source.layout, found, dampings, {"layers with a diagonal only": float(diagonal)})


_Blocks = Callable[[], Iterator[GradientRows]]
_Covariances = tuple[Tensor, Tensor]
"""Of output gradients [dout, dout] and of inputs [din, din]."""


def _labelled(source: GradientSource, instances: Instances, labels: Labels, seed: int) -> _Blocks:
    """Gradients of all instances in blocks, with the same labels on each pass."""
    if labels == "true":
        return lambda: source.blocks(instances)
    sample = getattr(source.objective.loss, "sample", None)
    if sample is None:
        raise EstimatorError(
            "labels cannot be drawn from this loss (it has no `sample`): ask for labels: true, the empirical Fisher"
        )

    def drawn() -> Iterator[GradientRows]:
        generator = torch.Generator(source.device).manual_seed(seed)
        for block in instances.blocks(source.block_rows):
            moved = source.moved(block)
            with torch.no_grad():
                outputs = source.objective.module(moved.features)
            yield source.rows(replace(moved, labels=sample(outputs, generator).to(moved.labels.dtype)))

    return drawn


def _covariances(source: GradientSource, blocks: _Blocks, n: int) -> list[_Covariances | None]:
    """E_i[sum_t s s^T] / T and E_i[sum_t a a^T] of each linear or convolution layer, float64."""
    sums: list[Moments | None] = [None] * len(source.layout.layers)
    for rows in blocks():
        for k, layer in enumerate(rows.layers):
            if isinstance(layer, Outer) or (isinstance(layer, Convolved) and layer.groups == 1):
                found, before = layer.second_moments(), sums[k]
                sums[k] = found if before is None else before.plus(found)
    return [None if s is None else (s.slopes / (n * s.positions), s.inputs / n) for s in sums]


def _factors(layer: Layer, covariances: _Covariances | None, source: GradientSource) -> LayerBasis:
    """The basis in the model's type; eigenvalues are K-FAC's, or zeros for a layer without Kronecker form."""
    dtype = torch.float32 if source.dtype == torch.bfloat16 else source.dtype
    if covariances is None:
        return LayerBasis(torch.zeros(layer.size, dtype=dtype, device=source.device))
    outputs, inputs = (torch.linalg.eigh(covariance) for covariance in covariances)
    values = torch.outer(outputs.eigenvalues.clamp(min=0), inputs.eigenvalues.clamp(min=0))
    bases = outputs.eigenvectors.to(dtype), inputs.eigenvectors.to(dtype)
    return LayerBasis(values.to(dtype), *bases, bias=len(layer.parameters) > 1)


def _measured(blocks: _Blocks, bases: list[LayerBasis], n: int) -> list[LayerBasis]:
    """The bases with eigenvalues E_i[(rotated gradient)^2]."""
    sums = [torch.zeros_like(basis.eigenvalues, dtype=torch.float64) for basis in bases]
    for rows in blocks():
        for total, basis, layer in zip(sums, bases, rows.layers, strict=True):
            total.add_(_squares(basis.rotate(layer)).view(total.shape))
    return [
        replace(basis, eigenvalues=(total / n).to(basis.eigenvalues.dtype))
        for basis, total in zip(bases, sums, strict=True)
    ]


def _squares(rotated: LayerRows) -> Tensor:
    """Sum over instances of squared gradients [p_l], float64."""
    if isinstance(rotated, Outer) and rotated.inputs.shape[1] == 1:
        return (rotated.slopes[:, 0].square().T @ rotated.inputs[:, 0].square()).double().flatten()
    return rotated.dense().square().sum(dim=0).double()
