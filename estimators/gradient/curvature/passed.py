"""A block of instances passed once through a chain of layers: what products with its curvature need of it."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from estimators.gradient.curvature.linear_chain import Chain
from estimators.gradient.objective import Instances, Objective

LIVE = 0.9
"""Share of inputs that are not zero throughout, above which all are kept."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A block of b instances passed forwards and backwards; lists run over layers.

    inputs: [b, din], with a 1 for the bias. first: derivatives of the functions, [b, 1, dout], 1 after the last layer.
    slopes: of the losses in each layer's outputs, [b, dout]. bends: slopes of the functions' values times their second
    derivatives, or None where those are zero. live: which inputs of the first layer are not zero for all of the block
    (None: taken as all).
    """

    outputs: Tensor
    weights: Tensor | None
    inputs: list[Tensor]
    first: list[Tensor]
    slopes: list[Tensor]
    bends: list[Tensor | None]
    live: Tensor | None

    @classmethod
    def of(cls, chain: Chain, objective: Objective, block: Instances) -> Self:
        """One pass."""
        inputs, first, second, given = [], [], [], block.features
        for layer, function in zip(chain.layers, chain.functions, strict=True):
            inputs.append(given)
            given, once, twice = _derivatives(function, layer(given).detach())
            first.append(once)
            second.append(twice)
        outputs = given.requires_grad_()
        losses = objective.loss(outputs, block.labels)
        losses = losses if block.weights is None else losses * block.weights
        slopes: list[Tensor] = list(torch.autograd.grad(losses.sum(), outputs))
        bends: list[Tensor | None] = [None]
        for at in range(len(chain.layers) - 1, 0, -1):
            back = slopes[0] @ chain.layers[at].weight.detach()
            bend = second[at - 1]
            slopes.insert(0, back * first[at - 1])
            bends.insert(0, None if bend is None else (back * bend)[:, None])
        pairs = zip(inputs, chain.layers, strict=True)
        inputs = [given if layer.bias is None else functional.pad(given, (0, 1), value=1.0) for given, layer in pairs]
        live = _live(inputs[0])
        inputs[0] = inputs[0] if live is None else inputs[0].index_select(1, live)
        first = [once[:, None] if once.ndim else once for once in first]
        return cls(outputs.detach()[:, None], block.weights, inputs, first, slopes, bends, live)


def _live(inputs: Tensor) -> Tensor | None:
    live = (inputs != 0).any(dim=0).nonzero()[:, 0]
    return live if len(live) <= LIVE * inputs.shape[1] else None


def _derivatives(function: nn.Sequential, given: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Values of an elementwise function, its first derivative, and its second (None where zero everywhere)."""
    if not len(function):
        return given, torch.ones((), dtype=given.dtype, device=given.device), None
    leaf = given.clone().requires_grad_()
    with torch.enable_grad():
        values = function(leaf.clone())
        (first,) = torch.autograd.grad(values.sum(), leaf, create_graph=True)
        second = None
        if first.requires_grad:
            (second,) = torch.autograd.grad(first.sum(), leaf, materialize_grads=True)
    return values.detach(), first.detach(), second if second is not None and bool(second.any()) else None
