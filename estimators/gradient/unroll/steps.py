"""One step of training as a pure function of parameters, optimiser state and weights of the batch's instances.

With weights 1 it is the step that was taken: the batch's loss is (1/b) sum_i w_i L_i, the divisor stays b whatever the
weights, so that w_i = 0 leaves instance i out. Everything that unrolled methods need is a derivative of it, by
autograd: SGD with momentum or Nesterov, Adam and AdamW alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call, grad

from estimators.gradient.objective import Instances, Objective

Parameters = dict[str, Tensor]
Moments = dict[str, Tensor]
"""The optimiser's state: `momentum.<parameter>`, or `mean.<parameter>` and `square.<parameter>`."""
CLIP_EPS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRule:
    """How parameters move; PyTorch's meanings. weight_decay: added to the gradient, AdamW's shrinks the parameters.

    clip_norm: the most that a gradient measures.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip_norm: float | None = None

    def fresh(self, parameters: Mapping[str, Tensor]) -> Moments:
        """The state before the first step: zeros."""
        kinds = {"sgd": ("momentum",) if self.momentum else ()}.get(self.name, ("mean", "square"))
        return {f"{kind}.{name}": torch.zeros_like(each) for name, each in parameters.items() for kind in kinds}

    def moved(
        self, parameters: Parameters, gradients: Parameters, moments: Moments, rate: float, number: int
    ) -> tuple[Parameters, Moments]:
        """Parameters and state after step `number` (from 1) along the batch's gradients."""
        gradients = self._clipped(gradients)
        if self.weight_decay and self.name != "adamw":
            gradients = {name: each + self.weight_decay * parameters[name] for name, each in gradients.items()}
        move = self._by_momentum if self.name == "sgd" else self._by_adam
        after: Parameters = {}
        kept: Moments = {}
        for name, each in parameters.items():
            step, state = move(name, gradients[name], moments, number)
            shrunk = each * (1.0 - rate * self.weight_decay) if self.name == "adamw" else each
            after[name] = shrunk - rate * step
            kept |= state
        return after, kept

    def _clipped(self, gradients: Parameters) -> Parameters:
        if self.clip_norm is None:
            return gradients
        norm = torch.sqrt(torch.stack([each.square().sum() for each in gradients.values()]).sum())
        scale = torch.clamp(self.clip_norm / (norm + CLIP_EPS), max=1.0)
        return {name: scale * each for name, each in gradients.items()}

    def _by_momentum(self, name: str, gradient: Tensor, moments: Moments, number: int) -> tuple[Tensor, Moments]:
        del number
        if not self.momentum:
            return gradient, {}
        velocity = self.momentum * moments[f"momentum.{name}"] + gradient
        step = gradient + self.momentum * velocity if self.nesterov else velocity
        return step, {f"momentum.{name}": velocity}

    def _by_adam(self, name: str, gradient: Tensor, moments: Moments, number: int) -> tuple[Tensor, Moments]:
        first, second = self.betas
        mean = first * moments[f"mean.{name}"] + (1.0 - first) * gradient
        square = second * moments[f"square.{name}"] + (1.0 - second) * gradient.square()
        positive = square > 0.0  # the root has no derivative at 0, where a parameter has never had a gradient
        root = torch.where(positive, torch.sqrt(torch.where(positive, square, 1.0)), 0.0)
        scale = root / (1.0 - second**number) ** 0.5 + self.eps
        return mean / (1.0 - first**number) / scale, {f"mean.{name}": mean, f"square.{name}": square}


Step = Callable[[Parameters, Moments, Tensor], tuple[Parameters, Moments]]


def step_function(
    rule: StepRule, objective: Objective, buffers: Mapping[str, Tensor], batch: Instances, rate: float, number: int
) -> Step:
    """Step `number` on a batch, as a function of parameters, state and weights [b]."""

    def batch_loss(parameters: Parameters, weights: Tensor) -> Tensor:
        total: Tensor = (weights * losses(objective, parameters, buffers, batch)).sum() / len(batch)
        return total

    def step(parameters: Parameters, moments: Moments, weights: Tensor) -> tuple[Parameters, Moments]:
        gradients: Parameters = grad(batch_loss)(parameters, weights)
        return rule.moved(parameters, gradients, moments, rate, number)

    return step


def losses(
    objective: Objective, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], instances: Instances
) -> Tensor:
    """Losses [b] of instances, unreduced, at any parameters."""
    outputs = functional_call(objective.module, {**parameters, **buffers}, (instances.features,))
    found = objective.loss(outputs, instances.labels)
    return found if instances.weights is None else found * instances.weights
