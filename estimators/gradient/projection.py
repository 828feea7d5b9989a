"""Gradients replaced by random images of themselves: E[(R g) . (R g')] = g . g'."""

from dataclasses import dataclass, field
from math import isqrt, sqrt

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.convolved import Convolved
from estimators.gradient.forms import Dense, LayerRows, Outer
from estimators.gradient.layout import Layer, Layout
from estimators.gradient.record import Projection
from estimators.gradient.rows import GradientRows
from estimators.gradient.tokens import Tokens
from estimators.seeding import derive_seed

KEPT_FLOATS = 2**27
"""A dense projection of a layer is kept up to this size (0.5 GB in float32) and drawn again for each block above."""
COLUMNS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Projector:
    """R for one model's layers. The same (projection, layout) gives the same R everywhere.

    kept: the drawn matrices by what they are, filled as they are needed.
    """

    projection: Projection
    model: Layout
    dtype: torch.dtype
    device: torch.device
    kept: dict[tuple[int, str], Tensor] = field(default_factory=dict, repr=False)

    @property
    def layout(self) -> Layout:
        """The images' layout: one layer [k], or one a layer of the model for `factored`."""
        if self.projection.kind != "factored":
            return Layout((_image("projected", self.projection.dimensions, 0),))
        layers, start = [], 0
        for layer in self.model.layers:
            layers.append(_image(layer.name, self._size(layer), start))
            start = layers[-1].stop
        return Layout(tuple(layers))

    def __call__(self, rows: GradientRows) -> GradientRows:
        """Images of gradients, written out: [b, k] in all, or [b, k_l] a layer."""
        if self.projection.kind == "factored":
            layers = tuple(Dense(self._factored(place, layer)) for place, layer in enumerate(rows.layers))
            return GradientRows(layers, rows.outputs, rows.losses)
        image = torch.zeros(len(rows), self.projection.dimensions, dtype=torch.float64, device=self.device)
        for place, layer in enumerate(rows.layers):
            image += self._image_of(place, layer)
        return GradientRows((Dense(image.to(self.dtype)),), rows.outputs, rows.losses)

    def _image_of(self, place: int, layer: LayerRows) -> Tensor:
        k, size = self.projection.dimensions, self.model.layers[place].size
        if self.projection.kind == "product" and _cheaper_factored(layer):
            layer = layer.outer() if isinstance(layer, Convolved) else layer
            assert isinstance(layer, Outer | Tokens)
            return self._product(place, layer) / sqrt(k)
        if k * size <= KEPT_FLOATS:
            return layer.times(self._signs(place, "all", k, size)) / sqrt(k)
        parts = [
            layer.times(self._drawn(place, f"rows {at}", min(COLUMNS_AT_ONCE, k - at), size))
            for at in range(0, k, COLUMNS_AT_ONCE)
        ]
        return torch.cat(parts, dim=1) / sqrt(k)

    def _product(self, place: int, layer: Outer | Tokens) -> Tensor:
        k = self.projection.dimensions
        slopes = layer.slopes @ self._signs(place, "slopes", layer.slopes.shape[2], k)
        if isinstance(layer, Tokens):
            return (slopes * self._signs(place, "tokens", layer.table, k)[layer.ids]).sum(dim=1)
        inputs = layer.inputs @ self._signs(place, "inputs", layer.inputs.shape[2], k)
        if layer.bias:
            inputs += self._signs(place, "bias", 1, k)[0]
        return (slopes * inputs).sum(dim=1)

    def _factored(self, place: int, layer: LayerRows) -> Tensor:
        """P_out G P_in^T of a linear layer, else signs on the written-out gradient."""
        if isinstance(layer, Convolved) and layer.groups == 1:
            return self._factored(place, layer.outer())
        if not isinstance(layer, Outer):
            size = self._size(self.model.layers[place])
            return layer.times(self._signs(place, "all", size, self.model.layers[place].size)) / sqrt(size)
        side = isqrt(self.projection.dimensions)
        slopes, inputs = layer.slopes, layer.inputs
        if side < slopes.shape[2]:
            slopes = slopes @ self._signs(place, "slopes", slopes.shape[2], side) / sqrt(side)
        if layer.bias:
            inputs = torch.cat([inputs, inputs.new_ones(*inputs.shape[:2], 1)], dim=2)
        if side < inputs.shape[2]:
            inputs = inputs @ self._signs(place, "inputs", inputs.shape[2], side) / sqrt(side)
        return Outer(inputs, slopes, bias=False).dense()

    def _size(self, layer: Layer) -> int:
        if layer.form not in {"outer", "convolution"}:
            return min(self.projection.dimensions, layer.size)
        side, dout = isqrt(self.projection.dimensions), layer.shapes[0][0]
        din = layer.shapes[0].numel() // dout + (len(layer.parameters) > 1)
        return min(side, dout) * min(side, din)

    def _signs(self, place: int, what: str, *shape: int) -> Tensor:
        if (place, what) not in self.kept:
            self.kept[place, what] = self._drawn(place, what, *shape)
        return self.kept[place, what]

    def _drawn(self, place: int, what: str, *shape: int) -> Tensor:
        seed = derive_seed("projection", self.projection.seed, place, what)
        generator = torch.Generator().manual_seed(seed % 2**63)
        bits = torch.randint(0, 2, shape, generator=generator, dtype=torch.int8)
        return bits.mul_(2).sub_(1).to(self.device, self.dtype)


def product_variances(rows: Tensor, others: Tensor) -> Tensor:
    """Variances [b, m] float64 of products of images [b, k] and [m, k] over projections with independent rows.

    A product is a sum of k independent, equally distributed terms; its variance is k times theirs, estimated from them.
    Raises EstimatorError for a projection to one dimension.
    """
    k = rows.shape[1]
    if k < 2:
        raise EstimatorError("one dimension has no error over projections: project to two or more")
    squares = rows.double().square() @ others.double().square().T
    means = (rows.double() @ others.double().T).square() / k
    return (squares - means).clamp_(min=0).mul_(k / (k - 1))


def _cheaper_factored(layer: LayerRows) -> bool:
    """Whether products over positions cost less than the written-out gradient's."""
    if isinstance(layer, Tokens):
        return True
    if isinstance(layer, Convolved):
        dout, din = layer.shape[0], layer.shape[1:].numel()
        return layer.groups == 1 and layer.places * (din + dout) < din * dout
    return isinstance(layer, Outer) and layer.inputs.shape[1] * sum(layer.shape) < layer.shape[0] * layer.shape[1]


def _image(name: str, size: int, start: int) -> Layer:
    return Layer(name=name, form="any", parameters=(name,), shapes=(torch.Size([size]),), start=start)
