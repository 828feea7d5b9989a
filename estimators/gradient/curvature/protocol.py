"""The seam of curvatures: gradients in, A^-1 times gradients out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from estimators.gradient.forms import Dense
from estimators.gradient.layout import Layout
from estimators.gradient.rows import GradientRows

Filter = Callable[[Tensor], Tensor]
"""A function of eigenvalues mu, elementwise: 1 / (mu + damping) solves, (1 - exp(-eta K mu)) / mu is Source's."""


class Curvature(ABC):
    """A symmetric matrix A = C + penalty + damping on gradients [p], C an approximation of the mean curvature.

    It may solve in a space of its own (an eigenbasis, a projection): `rotate` takes gradients there, and inner products
    of rotated gradients with what `solved` gives are g^T A^-1 g'. facts: damping, residuals and whatever else a reader
    has to see, by name.
    """

    damping: float
    facts: Mapping[str, float]

    def __init__(self, layout: Layout, damping: float, facts: Mapping[str, float] | None = None) -> None:
        self.layout = layout
        self.damping = damping
        self.facts = {"damping": damping, **(facts or {})}

    @abstractmethod
    def solve(self, vectors: Tensor) -> Tensor:
        """A^-1 v for vectors [k, p], in the parameters' own space."""

    def rotate(self, rows: GradientRows) -> GradientRows:
        """Gradients in the space where `solved` answers."""
        return rows

    def solved(self, rotated: GradientRows) -> tuple[Tensor, ...]:
        """A^-1 times rotated gradients, one [m, p_l] a layer."""
        parts = self.layout.split(self.solve(rotated.dense()))
        return tuple(part.contiguous() for part in parts)

    def energies(self, rotated: GradientRows, *, power: int = 1) -> Tensor:
        """g^T A^-power g [b] float64 of rotated gradients, power 1 or 2."""
        solved = self.solved(rotated)
        other = solved if power == 2 else tuple(layer.dense() for layer in rotated.layers)
        parts = [(a.double() * b).sum(dim=1) for a, b in zip(solved, other, strict=True)]
        return torch.stack(parts).sum(dim=0)


class SpectralCurvature(Curvature):
    """A curvature whose eigenvalues are known, so that any function of them can be applied."""

    @abstractmethod
    def apply(self, function: Filter, vectors: Tensor) -> Tensor:
        """Function of (C + penalty) times vectors [k, p]."""

    def solve(self, vectors: Tensor) -> Tensor:
        """A^-1 v."""
        return self.apply(self.inverse, vectors)

    def inverse(self, eigenvalues: Tensor) -> Tensor:
        """1 / (mu + damping)."""
        return 1.0 / (eigenvalues + self.damping)


class Identity(SpectralCurvature):
    """A = I: plain gradient dot products, as in the TracIn family."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, 0.0, {})
        self.facts = {}

    def apply(self, function: Filter, vectors: Tensor) -> Tensor:
        """f(1) v."""
        return vectors * function(torch.ones(1, dtype=vectors.dtype, device=vectors.device))

    def energies(self, rotated: GradientRows, *, power: int = 1) -> Tensor:
        """Squared norms."""
        del power
        return rotated.squared_norms()


def vectors_as_rows(layout: Layout, vectors: Tensor) -> GradientRows:
    """Vectors [k, p] as gradients, layer by layer."""
    layers = tuple(Dense(part) for part in layout.split(vectors))
    return GradientRows(layers, vectors.new_empty(len(vectors), 0), vectors.new_empty(len(vectors)))
