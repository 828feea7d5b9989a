"""Optimizers on the parameters of K models at once, held as one flat buffer `[K, P]`.

Each is PyTorch's own arithmetic (torch.optim of the same name), as a few elementwise operations. Rates are one a
model, since schedules depend on a model's own number of steps; always given as a tensor, so that equal and unequal
neighbours use the same operation and hence the same bits.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

from workers.learner_specs import OptimizerSpec


class FlatOptimizer(Protocol):
    """Moves parameters in place; holds its state for K models."""

    def step(self, parameters: Tensor, gradients: Tensor, rates: Tensor) -> None:
        """Move parameters [K, P] along gradients [K, P] (which may be overwritten) at rates [K, 1]."""
        ...


class FlatSgd:
    """Stochastic gradient descent with momentum, Nesterov's or Polyak's (Sutskever et al. 2013, equations 1 to 4)."""

    def __init__(self, spec: OptimizerSpec) -> None:
        self._spec = spec
        self._velocity: Tensor | None = None

    def step(self, parameters: Tensor, gradients: Tensor, rates: Tensor) -> None:
        """Equals torch.optim.SGD's step, dampening 0."""
        spec = self._spec
        if spec.weight_decay:
            gradients.add_(parameters, alpha=spec.weight_decay)
        if not spec.momentum:
            parameters.addcmul_(gradients, rates, value=-1)
            return
        if self._velocity is None:
            self._velocity = gradients.clone()
        else:
            self._velocity.mul_(spec.momentum).add_(gradients)
        move = gradients.add_(self._velocity, alpha=spec.momentum) if spec.nesterov else self._velocity
        parameters.addcmul_(move, rates, value=-1)


class FlatAdam:
    """Adam (Kingma and Ba 2015, algorithm 1), or AdamW (Loshchilov and Hutter 2019, algorithm 2) when decoupled."""

    def __init__(self, spec: OptimizerSpec, *, decoupled: bool) -> None:
        self._spec = spec
        self._decoupled = decoupled
        self._steps = 0
        self._state: tuple[Tensor, Tensor] | None = None

    def step(self, parameters: Tensor, gradients: Tensor, rates: Tensor) -> None:
        """Equals torch.optim.Adam's or AdamW's step."""
        spec = self._spec
        if spec.weight_decay and self._decoupled:
            parameters.mul_(1 - rates * spec.weight_decay)
        elif spec.weight_decay:
            gradients.add_(parameters, alpha=spec.weight_decay)
        if self._state is None:
            self._state = (torch.zeros_like(parameters), torch.zeros_like(parameters))
        mean, square = self._state
        self._steps += 1
        first, second = spec.betas
        mean.lerp_(gradients, 1 - first)
        square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        scale = torch.sqrt(square, out=gradients).div_(math.sqrt(1 - second**self._steps)).add_(spec.eps)
        move = torch.div(mean, scale, out=scale)
        parameters.addcmul_(move, rates, value=-1 / (1 - first**self._steps))


def flat_optimizer(spec: OptimizerSpec) -> FlatOptimizer:
    """A fresh optimizer for K models."""
    if spec.name == "sgd":
        return FlatSgd(spec)
    return FlatAdam(spec, decoupled=spec.name == "adamw")


def module_optimizer(spec: OptimizerSpec, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """PyTorch's own optimizer, for models that are trained one at a time."""
    if spec.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=spec.lr, momentum=spec.momentum, nesterov=spec.nesterov, weight_decay=spec.weight_decay
        )
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay)
