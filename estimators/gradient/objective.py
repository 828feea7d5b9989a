"""What was minimised: a model, a loss of one instance, a penalty; and what leaving an instance out means for it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from estimators.errors import EstimatorError
from estimators.gradient.layout import Layout

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""Outputs [b, ...] and labels [b, ...] to losses [b], unreduced.

A loss that is minus the log-likelihood of the labels may have `sample(outputs, generator)`, which draws labels from the
model's own distribution: the true Fisher needs it. One of outputs [b, C] may have `curved(outputs, directions)`, its
second derivative in the outputs times directions [k, b, C]: products with curvatures are faster then.
"""


def full(outputs: Tensor) -> Tensor:
    """Outputs in float32 at least: in bfloat16 the slope p - y of a confident model would round to 0."""
    return outputs.float() if outputs.dtype == torch.bfloat16 else outputs


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Cross-entropy of logits [b, C], or [b, T, C] summed over T positions, in nats."""

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Losses [b]."""
        rows = functional.cross_entropy(outputs.flatten(0, -2), labels.flatten(), reduction="none")
        losses: Tensor = rows.view(len(outputs), -1).sum(dim=1)
        return losses

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Labels from the softmax."""
        probabilities = torch.softmax(outputs.detach().float(), dim=-1)
        drawn = torch.multinomial(probabilities.flatten(0, -2), 1, generator=generator)
        labels: Tensor = drawn.view(outputs.shape[:-1])
        return labels

    def curved(self, outputs: Tensor, directions: Tensor) -> Tensor:
        """(diag(p) - p p^T) d, p the softmax."""
        p = torch.softmax(outputs, dim=-1)
        moved = p * directions
        return moved.sub_(p * moved.sum(dim=-1, keepdim=True))


@dataclass(frozen=True, slots=True)
class SquaredError:
    """factor * sum over outputs of (f - y)^2; factor 1/2 is minus the log-likelihood of a Gaussian of variance 1."""

    factor: float = 1.0

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Losses [b]."""
        difference = outputs.reshape(len(outputs), -1) - labels.reshape(len(outputs), -1)
        losses: Tensor = self.factor * difference.square().sum(dim=1)
        return losses

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Targets from the Gaussian of variance 1 / (2 factor)."""
        noise = torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype, device=outputs.device)
        targets: Tensor = outputs.detach() + noise / (2 * self.factor) ** 0.5
        return targets

    def curved(self, outputs: Tensor, directions: Tensor) -> Tensor:
        """2 factor d."""
        del outputs
        return 2 * self.factor * directions


@dataclass(frozen=True, slots=True)
class LogOdds:
    """log(p_y / (1 - p_y)) of logits [b, C]: no loss, but the output that TRAK linearises (Park et al. 2023)."""

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Log odds [b] of the right label: high is good."""
        index = labels.unsqueeze(-1)
        others = outputs.scatter(-1, index, -torch.inf)
        return outputs.gather(-1, index).squeeze(-1) - torch.logsumexp(others, dim=-1)


@dataclass(frozen=True, slots=True)
class Instances:
    """Instances with their labels. features: [n, ...]; labels: [n, ...]; weights: [n] of mean 1, or None.

    noise: [draws, ...] or None; with it the model is called as `module(features, noise)`, and an instance's loss is
    the mean over draws, the same for every instance (a variational model's encoder noise).
    """

    features: Tensor
    labels: Tensor
    weights: Tensor | None = None
    noise: Tensor | None = None

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.labels)

    def __getitem__(self, rows: slice | Tensor) -> "Instances":
        """Some of the instances."""
        weights = None if self.weights is None else _taken(self.weights, rows)
        return Instances(_taken(self.features, rows), _taken(self.labels, rows), weights, self.noise)

    def blocks(self, rows: int) -> Iterator["Instances"]:
        """Blocks of `rows` instances, in order, the last one shorter."""
        for start in range(0, len(self), rows):
            yield self[start : start + rows]

    def to(self, *, device: torch.device, dtype: torch.dtype) -> "Instances":
        """The same on a device; features, targets, weights and noise of a float type in `dtype`."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)

        return Instances(
            moved(self.features),
            moved(self.labels),
            None if self.weights is None else moved(self.weights),
            None if self.noise is None else moved(self.noise),
        )


def _taken(tensor: Tensor, rows: slice | Tensor) -> Tensor:
    if isinstance(rows, Tensor) and rows.dtype == torch.int64 and rows.ndim == 1:
        return tensor.index_select(0, rows)  # several times as fast as indexing
    return tensor[rows]


@dataclass(frozen=True, slots=True)
class Objective:
    """J(theta) = (1/n) sum_i L(z_i; theta) + sum_p (penalty_p / 2) theta_p^2.

    module: its parameters are theta; called in evaluation mode. loss: of one instance. penalty: one number, or one a
    parameter name (0 for others), in J's scale: PyTorch's `weight_decay` under a mean loss is it. deletion: what the
    learner does without an instance: "sum" keeps the divisor n, "mean" divides by n - 1.
    """

    module: nn.Module
    loss: RowLoss
    penalty: float | Mapping[str, float] = 0.0
    deletion: Literal["sum", "mean"] = "mean"

    def losses(self, instances: Instances) -> Tensor:
        """Losses [b] of instances, times their weights, the mean over noise draws where there are any."""
        if instances.noise is None:
            losses = self.loss(full(self.module(instances.features)), instances.labels)
        else:
            losses = self._over_draws(instances, instances.noise)
        if losses.shape != (len(instances),):
            raise EstimatorError(
                f"the loss gave {list(losses.shape)} for {len(instances)} instances; it must give one number each"
            )
        return losses if instances.weights is None else losses * instances.weights

    def _over_draws(self, instances: Instances, noise: Tensor) -> Tensor:
        draws, count = len(noise), len(instances)
        outputs = self.module(
            instances.features.repeat_interleave(draws, dim=0), noise.repeat(count, *[1] * (noise.ndim - 1))
        )
        return self.loss(full(outputs), instances.labels.repeat_interleave(draws, dim=0)).view(count, draws).mean(dim=1)

    def penalties(self, layout: Layout) -> Tensor:
        """The penalty of each parameter [p], in the type and on the device of the model."""
        named = dict(self.module.named_parameters())
        return layout.flatten({name: torch.full_like(named[name], self._penalty(name)) for name in layout.parameters})

    def _penalty(self, name: str) -> float:
        return self.penalty.get(name, 0.0) if isinstance(self.penalty, Mapping) else self.penalty

    def theta(self, layout: Layout) -> Tensor:
        """The chosen parameters [p]."""
        named = dict(self.module.named_parameters())
        return layout.flatten({name: named[name].detach() for name in layout.parameters})
