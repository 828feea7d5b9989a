"""Elementwise functions and their derivatives, as PyTorch's own autograd computes them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

Function = Callable[[Tensor], Tensor]
Derivative = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Gradient by the inputs from (gradient by the outputs, inputs, outputs)."""
aten: Final = torch.ops.aten


def relu_gradient(towards: Tensor, outputs: Tensor) -> Tensor:
    """Gradient by the inputs of max(x, 0), written over `towards`."""
    found: Tensor = aten.threshold_backward.grad_input(towards, outputs, 0, grad_input=towards)
    return found


def activation_of(layer: nn.Module) -> tuple[Function, Derivative] | None:
    """The function of an activation layer and its derivative; None for other layers."""
    maker = _MAKERS.get(type(layer))
    return None if maker is None else maker(layer)


def _gelu(layer: Any) -> tuple[Function, Derivative]:
    kind = layer.approximate
    return (
        lambda x: functional.gelu(x, approximate=kind),
        lambda g, x, _: aten.gelu_backward(g, x, approximate=kind),
    )


def _leaky(layer: Any) -> tuple[Function, Derivative]:
    slope = layer.negative_slope
    return (
        lambda x: functional.leaky_relu(x, slope),
        lambda g, x, _: aten.leaky_relu_backward(g, x, slope, False),  # noqa: FBT003 - aten's own signature
    )


def _elu(layer: Any) -> tuple[Function, Derivative]:
    alpha = layer.alpha
    return (
        lambda x: functional.elu(x, alpha),
        lambda g, x, _: aten.elu_backward(g, alpha, 1, 1, False, x),  # noqa: FBT003 - aten's own signature
    )


def _softplus(layer: Any) -> tuple[Function, Derivative]:
    beta, threshold = layer.beta, layer.threshold
    return (
        lambda x: functional.softplus(x, beta, threshold),
        lambda g, x, _: aten.softplus_backward(g, x, beta, threshold),
    )


_MAKERS: Final[Mapping[type[nn.Module], Callable[[Any], tuple[Function, Derivative]]]] = {
    nn.ReLU: lambda _: (torch.relu, lambda g, _x, y: aten.threshold_backward(g, y, 0)),
    nn.Tanh: lambda _: (torch.tanh, lambda g, _x, y: aten.tanh_backward(g, y)),
    nn.Sigmoid: lambda _: (torch.sigmoid, lambda g, _x, y: aten.sigmoid_backward(g, y)),
    nn.SiLU: lambda _: (functional.silu, lambda g, x, _: aten.silu_backward(g, x)),
    nn.GELU: _gelu,
    nn.LeakyReLU: _leaky,
    nn.ELU: _elu,
    nn.Softplus: _softplus,
}
