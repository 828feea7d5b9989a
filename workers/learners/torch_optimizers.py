"""Optimizers on the parameters of K models at once, held as one flat buffer `[K, P]`.

Each is PyTorch's own arithmetic (torch.optim of the same name), as a few elementwise operations. Where a schedule
makes rates depend on a model's own number of steps they are one a model, always as a tensor, so that equal and
unequal neighbours use the same operation and hence the same bits; a constant rate is a number.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workers.learner_specs import OptimizerSpec

CLIP_EPS = 1e-6


class FlatOptimizer(Protocol):
    """Moves parameters in place; its state stands outside of it.

    moments: how many buffers [K, P] it keeps, all zero before the first step.
    """

    @property
    def moments(self) -> int:
        """Buffers of the size of the parameters that it needs."""
        ...

    def step(
        self, parameters: Tensor, gradients: Tensor, rates: Tensor | float, moments: tuple[Tensor, ...], number: int
    ) -> None:
        """Step `number` (from 1): move parameters [K, P] along gradients [K, P] (overwritten) at rates ([K, 1])."""
        ...


@dataclass(frozen=True, slots=True)
class FlatSgd:
    """Stochastic gradient descent with momentum, Nesterov's or Polyak's (Sutskever et al. 2013, equations 1 to 4)."""

    spec: OptimizerSpec

    @property
    def moments(self) -> int:
        """The velocity, where there is momentum."""
        return 1 if self.spec.momentum else 0

    def step(
        self, parameters: Tensor, gradients: Tensor, rates: Tensor | float, moments: tuple[Tensor, ...], number: int
    ) -> None:
        """Equals torch.optim.SGD's step, dampening 0."""
        del number
        spec, move = self.spec, gradients
        if spec.weight_decay:
            gradients.add_(parameters, alpha=spec.weight_decay)
        if moments:
            velocity = moments[0].mul_(spec.momentum).add_(gradients)
            move = gradients.add_(velocity, alpha=spec.momentum) if spec.nesterov else velocity
        _descend(parameters, move, rates, 1.0)


@dataclass(frozen=True, slots=True)
class FlatAdam:
    """Adam (Kingma and Ba 2015, algorithm 1), or AdamW (Loshchilov and Hutter 2019, algorithm 2) when decoupled."""

    spec: OptimizerSpec
    decoupled: bool

    @property
    def moments(self) -> int:
        """Mean and square."""
        return 2

    def step(
        self, parameters: Tensor, gradients: Tensor, rates: Tensor | float, moments: tuple[Tensor, ...], number: int
    ) -> None:
        """Equals torch.optim.Adam's or AdamW's step."""
        spec = self.spec
        if isinstance(rates, float):
            self._fused(parameters, gradients, rates, moments, number)
            return
        if spec.weight_decay and self.decoupled:
            parameters.mul_(1 - rates * spec.weight_decay)
        elif spec.weight_decay:
            gradients.add_(parameters, alpha=spec.weight_decay)
        mean, square = moments
        first, second = spec.betas
        mean.lerp_(gradients, 1 - first)
        square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        scale = torch.sqrt(square, out=gradients).div_(math.sqrt(1 - second**number)).add_(spec.eps)
        _descend(parameters, torch.div(mean, scale, out=scale), rates, 1 / (1 - first**number))

    def _fused(
        self, parameters: Tensor, gradients: Tensor, rate: float, moments: tuple[Tensor, ...], number: int
    ) -> None:
        """The same in one pass over memory, where all models have one rate."""
        step = torch.tensor(float(number), device=parameters.device)
        update = torch._fused_adamw_ if self.decoupled else torch._fused_adam_
        update(
            [parameters],
            [gradients],
            [moments[0]],
            [moments[1]],
            [],
            [step],
            lr=rate,
            beta1=self.spec.betas[0],
            beta2=self.spec.betas[1],
            weight_decay=self.spec.weight_decay,
            eps=self.spec.eps,
            amsgrad=False,
            maximize=False,
        )


def _descend(parameters: Tensor, move: Tensor, rates: Tensor | float, factor: float) -> None:
    if isinstance(rates, Tensor):
        parameters.addcmul_(move, rates, value=-factor)
    else:
        parameters.add_(move, alpha=-rates * factor)


def clip_gradients(gradients: Tensor, most: float) -> None:
    """Scale each model's gradient [K, P] so that its norm is at most `most`, as torch's clip_grad_norm_ does."""
    norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    gradients.mul_(torch.clamp(most / (norms + CLIP_EPS), max=1.0))


def flat_optimizer(spec: OptimizerSpec) -> FlatOptimizer:
    """The optimizer for K models."""
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
