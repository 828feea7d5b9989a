"""Where each layer's parameters stand in a flat gradient, and which form its per-instance gradients take."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from estimators.errors import EstimatorError

Form = Literal["outer", "convolution", "grouped", "tokens", "scale", "any"]
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
SCALES = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's share [start, stop) of a flat gradient. parameters: full names, the weight before the bias."""

    name: str
    form: Form
    parameters: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    start: int

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(shape.numel() for shape in self.shapes)

    @property
    def stop(self) -> int:
        """End of its share."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Layout:
    """The chosen parameters as one vector of length p, layer after layer."""

    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """p, the number of parameters."""
        return sum(layer.size for layer in self.layers)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in their order in a vector."""
        return tuple(name for layer in self.layers for name in layer.parameters)

    def split(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Vectors [k, p] as one [k, p_l] a layer (views)."""
        return tuple(vectors[:, layer.start : layer.stop] for layer in self.layers)

    def flatten(self, named: Mapping[str, Tensor], *, batched: bool = False) -> Tensor:
        """Tensors by parameter name as one vector [p], or [k, p] where each has a leading axis k."""
        keep = 1 if batched else 0
        return torch.cat([named[name].flatten(keep) for name in self.parameters], dim=-1)

    def unflatten(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Vectors [..., p] as tensors [..., *shape], one a parameter in the order of `parameters` (views)."""
        parts, start = [], 0
        for shape in (shape for layer in self.layers for shape in layer.shapes):
            flat = vectors[..., start : start + shape.numel()]
            parts.append(flat.view(*vectors.shape[:-1], *shape))
            start += shape.numel()
        return tuple(parts)

    def without_forms(self, names: set[str]) -> "Layout":
        """The same parameters, those of the layers named differentiated through the whole model."""
        return _numbered(
            [
                (layer.name, "any" if layer.name in names else layer.form, layer.parameters, layer.shapes)
                for layer in self.layers
            ]
        )


def layout_of(module: nn.Module, patterns: tuple[str, ...] = ("*",)) -> Layout:
    """The trained parameters whose full names match one of the patterns (`fc2.*`, `*.bias`), by layer.

    A parameter that two layers share, or whose layer has no form of its own, takes the form `any`: its gradients are
    taken through the whole model, and count every use.

    Raises:
        EstimatorError: no trained parameter matches.
    """
    uses = Counter(id(parameter) for part in module.modules() for parameter in part.parameters(recurse=False))
    entries: list[tuple[str, Form, tuple[str, ...], tuple[torch.Size, ...]]] = []
    seen: set[int] = set()
    for name, part in module.named_modules():
        own = [
            (f"{name}.{leaf}" if name else leaf, leaf, parameter)
            for leaf, parameter in part.named_parameters(recurse=False)
            if parameter.requires_grad and id(parameter) not in seen
        ]
        own = [entry for entry in own if any(fnmatchcase(entry[0], pattern) for pattern in patterns)]
        seen.update(id(parameter) for _, _, parameter in own)
        entries += _entries(name, part, own, uses)
    if not entries:
        known = ", ".join(name for name, parameter in module.named_parameters() if parameter.requires_grad)
        raise EstimatorError(f"no trained parameter matches {', '.join(patterns)}; the model has {known or 'none'}")
    return _numbered(entries)


_Own = list[tuple[str, str, nn.Parameter]]


def _entries(
    name: str, part: nn.Module, own: _Own, uses: Counter[int]
) -> Iterator[tuple[str, Form, tuple[str, ...], tuple[torch.Size, ...]]]:
    alone = [entry for entry in own if uses[id(entry[2])] == 1]
    shared = [entry for entry in own if uses[id(entry[2])] > 1]
    form = _form(part)
    if alone and alone[0][1] != "weight" and form != "any":
        form = "any"
    if alone:
        yield name, form, tuple(e[0] for e in alone), tuple(e[2].shape for e in alone)
    for entry in shared:
        yield entry[0], "any", (entry[0],), (entry[2].shape,)


def _form(part: nn.Module) -> Form:
    if type(part) is nn.Linear:
        return "outer"
    if isinstance(part, CONVOLUTIONS) and type(part) in CONVOLUTIONS:
        return "convolution" if part.groups == 1 else "grouped"
    if type(part) is nn.Embedding and part.max_norm is None and not part.scale_grad_by_freq and not part.sparse:
        return "tokens"
    if type(part) in SCALES:
        return "scale"
    return "any"


def _numbered(entries: list[tuple[str, Form, tuple[str, ...], tuple[torch.Size, ...]]]) -> Layout:
    layers, start = [], 0
    for name, form, parameters, shapes in entries:
        layers.append(Layer(name=name, form=form, parameters=parameters, shapes=shapes, start=start))
        start = layers[-1].stop
    return Layout(tuple(layers))
