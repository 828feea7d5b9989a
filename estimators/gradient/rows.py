"""Per-instance gradients of a block of instances over all chosen layers."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from estimators.gradient.forms import Dense, LayerRows
from estimators.gradient.tokens import Tokens


@dataclass(frozen=True, slots=True)
class GradientRows:
    """Gradients [b, p], layer by layer, each in its own form. Sums over layers are float64 [b, ...].

    outputs: of the model, [b, ...], detached. losses: [b].
    """

    layers: tuple[LayerRows, ...]
    outputs: Tensor
    losses: Tensor

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.layers[0])

    def dense(self) -> Tensor:
        """Written out, [b, p]."""
        return torch.cat([layer.dense() for layer in self.layers], dim=1)

    def dot(self, other: "GradientRows") -> Tensor:
        """Inner products [b, b'] float64."""
        return _total(layer.dot(theirs) for layer, theirs in _pairs(self, other))

    def held(self) -> "GradientRows":
        """The same as many blocks will meet it."""
        return GradientRows(tuple(layer.held() for layer in self.layers), self.outputs, self.losses)

    def row_dot(self, other: "GradientRows") -> Tensor:
        """Inner products [b] float64, instance by instance."""
        return _total(layer.row_dot(theirs) for layer, theirs in _pairs(self, other))

    def squared_norms(self) -> Tensor:
        """[b] float64."""
        return self.row_dot(self)

    def times(self, vectors: tuple[Tensor, ...]) -> Tensor:
        """Inner products [b, m] float64 with vectors given layer by layer, each [m, p_l]."""
        return _total(layer.times(part) for layer, part in zip(self.layers, vectors, strict=True))

    def mix(self, weights: Tensor) -> Tensor:
        """Weighted sums [k, p] over instances, weights [k, b]."""
        return torch.cat([layer.mix(weights) for layer in self.layers], dim=1)

    def scaled(self, factors: Tensor) -> "GradientRows":
        """Each instance's gradient times its factor, factors [b]."""
        layers = tuple(layer.scaled(factors.to(self.losses.dtype)) for layer in self.layers)
        return GradientRows(layers, self.outputs, self.losses)

    def scaled_by_layer(self, factors: list[Tensor]) -> "GradientRows":
        """Each layer's part times its own factors, [b] a layer."""
        scaled = zip(self.layers, factors, strict=True)
        layers = tuple(layer.scaled(each.to(self.losses.dtype)) for layer, each in scaled)
        return GradientRows(layers, self.outputs, self.losses)

    def strongest_tokens(self, count: int) -> "GradientRows":
        """Embedding layers with each instance's strongest tokens only; other layers as they are."""
        layers = tuple(layer.strongest(count) if isinstance(layer, Tokens) else layer for layer in self.layers)
        return GradientRows(layers, self.outputs, self.losses)


def dense_rows(rows: Tensor) -> GradientRows:
    """Rows [b, p] as gradients of one layer (a projection's, for one)."""
    return GradientRows((Dense(rows),), rows.new_empty(len(rows), 0), rows.new_empty(len(rows)))


def _pairs(one: GradientRows, other: GradientRows) -> Any:
    return zip(one.layers, other.layers, strict=True)


def _total(parts: Any) -> Tensor:
    total: Tensor | None = None
    for part in parts:
        total = part.double() if total is None else total.add_(part)
    if total is None:
        raise ValueError("gradients of no layer")
    return total
