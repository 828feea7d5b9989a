"""One forward and one backward pass over a block of instances, seen layer by layer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional

from estimators.errors import EstimatorError
from estimators.gradient.convolved import Convolved
from estimators.gradient.forms import Dense, LayerRows, Outer
from estimators.gradient.layout import CONVOLUTIONS, Layer, Layout
from estimators.gradient.objective import Instances, Objective
from estimators.gradient.rows import GradientRows
from estimators.gradient.tokens import Tokens

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(slots=True)
class _Calls:
    """What one layer was called with, and where the gradients of its outputs are to be had."""

    inputs: list[Tensor] = field(default_factory=list)
    edges: list[GradientEdge] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)


def captured(objective: Objective, layout: Layout, instances: Instances) -> GradientRows:
    """Gradients of the instances' losses in the layers that have a form of their own; `any` layers are left out.

    Raises:
        EstimatorError: a layer gets something else than one row an instance.
    """
    seen = [layer for layer in layout.layers if layer.form != "any"]
    with torch.enable_grad(), _watching(objective.module, seen) as calls:
        losses, outputs = _forward(objective, instances)
        edges = [edge for layer in seen for edge in calls[layer.name].edges]
        slopes = iter(torch.autograd.grad(losses.sum(), edges)) if edges else iter(())
    parts = []
    for layer in seen:
        own = calls[layer.name]
        for tensor, version in zip(own.inputs, own.versions, strict=True):
            if tensor._version != version:  # noqa: SLF001 - the only public trace of an in-place change
                raise EstimatorError(f"layer {layer.name}: its input is changed in place after the call")
        gradients = [next(slopes) for _ in own.edges]
        parts.append(_rows(objective.module.get_submodule(layer.name), layer, own.inputs, gradients, instances))
    return GradientRows(tuple(parts), outputs, losses.detach())


def _forward(objective: Objective, instances: Instances) -> tuple[Tensor, Tensor]:
    outputs: list[Tensor] = []
    handle = objective.module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    try:
        losses = objective.losses(instances)
    finally:
        handle.remove()
    kept = outputs[0].detach() if isinstance(outputs[0], Tensor) else losses.detach()
    return losses, kept


@contextmanager
def _watching(module: nn.Module, layers: Sequence[Layer]) -> Iterator[dict[str, _Calls]]:
    calls = {layer.name: _Calls() for layer in layers}

    def watcher(own: _Calls) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            given = inputs[0].detach()
            own.inputs.append(given)
            own.versions.append(given._version)  # noqa: SLF001 - as above
            own.edges.append(get_gradient_edge(output))

        return hook

    handles = [module.get_submodule(layer.name).register_forward_hook(watcher(calls[layer.name])) for layer in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _rows(part: nn.Module, layer: Layer, inputs: list[Tensor], slopes: list[Tensor], instances: Instances) -> LayerRows:
    """The layer's gradients over all its calls; several calls or noise draws are further positions."""
    count = len(instances)
    draws = 1 if instances.noise is None else len(instances.noise)
    if not inputs:
        raise EstimatorError(f"layer {layer.name} is never called by its module's forward")
    for tensor in inputs:
        if not tensor.ndim or len(tensor) != count * draws:
            raise EstimatorError(
                f"layer {layer.name} gets an input {list(tensor.shape)} for {count * draws} instances; "
                "its first axis must run over instances"
            )
    if isinstance(part, CONVOLUTIONS) and len(inputs) == draws == 1:
        return _convolved(part, layer, inputs[0], slopes[0])
    positions = [_positions(part, layer, a, s) for a, s in zip(inputs, slopes, strict=True)]
    a, s = (_single(_joined([pair[k] for pair in positions], count)) for k in (0, 1))
    if layer.form == "tokens":
        return Tokens(a[:, :, 0], s, layer.shapes[0][0])
    if layer.form == "scale":
        return Dense(torch.cat([(a * s).sum(dim=1), s.sum(dim=1)][: len(layer.parameters)], dim=1))
    if layer.form == "grouped" and isinstance(part, CONVOLUTIONS):
        return _grouped(a, s, part.groups, bias=len(layer.parameters) > 1)
    return Outer(a, s, bias=len(layer.parameters) > 1)


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def _joined(parts: list[Tensor], count: int) -> Tensor:
    """Calls and noise draws as further positions, [count, T, d]."""
    folded = [part if len(part) == count else part.reshape(count, -1, part.shape[2]) for part in parts]
    return folded[0] if len(folded) == 1 else torch.cat(folded, dim=1)


def _convolved(part: Convolution, layer: Layer, given: Tensor, slopes: Tensor) -> Convolved:
    return Convolved(
        _single(padded(part, given)),
        _single(slopes),
        shape=layer.shapes[0],
        stride=tuple(part.stride),
        dilation=tuple(part.dilation),
        groups=part.groups,
        bias=len(layer.parameters) > 1,
    )


def padded(part: Convolution, given: Tensor) -> Tensor:
    """What the kernel runs over."""
    sides: list[int] = part._reversed_padding_repeated_twice  # noqa: SLF001 - also for padding="same"
    mode = "constant" if part.padding_mode == "zeros" else part.padding_mode
    return functional.pad(given, sides, mode=mode) if any(sides) else given


def _positions(part: nn.Module, layer: Layer, given: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs [b, T, din] and output gradients [b, T, dout] of one call."""
    rows = len(given)
    if layer.form == "outer":
        return given.reshape(rows, -1, given.shape[-1]), slopes.reshape(rows, -1, slopes.shape[-1])
    if layer.form == "tokens":
        return _token_positions(part, given, slopes)
    if isinstance(part, CONVOLUTIONS):
        outer = _convolved(part, layer, given, slopes).outer()
        return outer.inputs, outer.slopes
    return _normalised(part, given), _channels_last(part, slopes)


def _token_positions(part: nn.Module, given: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    ids = given.reshape(len(given), -1, 1)
    s = slopes.reshape(len(given), -1, slopes.shape[-1])
    padding = getattr(part, "padding_idx", None)
    return ids, s if padding is None else s * (ids != padding)


def _grouped(a: Tensor, s: Tensor, groups: int, *, bias: bool) -> Dense:
    inputs = a.view(*a.shape[:2], groups, -1)  # patches list the channels of one group after the other
    slopes = s.view(*s.shape[:2], groups, -1)
    weight = torch.einsum("btgo,btgi->bgoi", slopes, inputs).flatten(1)
    return Dense(torch.cat([weight, s.sum(dim=1)], dim=1) if bias else weight)


def _normalised(part: nn.Module, given: Tensor) -> Tensor:
    """What a normalisation layer multiplies by its weight: [b, T, d]."""
    if isinstance(part, nn.LayerNorm):
        inner = functional.layer_norm(given, part.normalized_shape, eps=part.eps)
        return inner.reshape(len(given), -1, prod(part.normalized_shape))
    if isinstance(part, nn.GroupNorm):
        return _channels_last(part, functional.group_norm(given, part.num_groups, eps=part.eps))
    assert isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    mean, variance = part.running_mean, part.running_var
    if mean is None or variance is None:
        raise EstimatorError(
            "batch normalisation without running statistics mixes instances: no gradient of one exists"
        )
    return _channels_last(part, functional.batch_norm(given, mean, variance, eps=part.eps))


def _channels_last(part: nn.Module, tensor: Tensor) -> Tensor:
    if isinstance(part, nn.LayerNorm):
        return tensor.reshape(len(tensor), -1, prod(part.normalized_shape))
    return tensor.reshape(*tensor.shape[:2], -1).transpose(1, 2)
