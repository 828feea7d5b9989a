"""A recorded run, every step of it, ready to be differentiated; what does not replay is refused."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.objective import Instances, Objective
from estimators.gradient.trajectory import Checkpoint, Trajectory
from estimators.gradient.unroll.steps import Moments, Parameters, Step, StepRule, losses, step_function

AGREEMENT = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Largest relative distance between a step replayed and the one recorded, in units of the step's own length."""


@dataclass(frozen=True, slots=True)
class Run:
    """Steps with their batches, and the parameters at the end.

    steps: theta before every step, its rate, its batch and the optimiser's state, none left out. final: parameters
    after the last one. precision: what the run was computed in.
    """

    objective: Objective
    rule: StepRule
    train: Instances
    steps: Trajectory
    final: Parameters
    precision: torch.dtype = torch.float64

    def __post_init__(self) -> None:
        if not self.steps or any(each.batch is None for each in self.steps):
            raise EstimatorError("an unrolled method needs every step of the run with its batch: record `every: all`")

    @property
    def buffers(self) -> Parameters:
        """What is not trained."""
        return {name: each.detach() for name, each in self.objective.module.named_buffers()}

    def parameters(self, at: int) -> Parameters:
        """Parameters before a step; after the last one for at = T."""
        if at == len(self.steps):
            return dict(self.final)
        return self._named(self.steps[at])

    def _named(self, checkpoint: Checkpoint) -> Parameters:
        trained = [name for name, each in self.objective.module.named_parameters() if each.requires_grad]
        return {name: checkpoint.parameters[name] for name in trained}

    def moments(self, at: int) -> Moments:
        """The optimiser's state before a step; zeros where a run's first step has none."""
        fresh, held = self.rule.fresh(self.parameters(at)), self.steps[at].state
        return {name: held[name] for name in fresh} if held else fresh  # in the order in which steps give them

    def batch(self, at: int) -> tuple[Tensor, Instances]:
        """Positions [b] and instances of a step's batch."""
        batch = self.steps[at].batch
        assert batch is not None
        return batch, self.train[batch]

    def step(self, at: int) -> Step:
        """The step as a function."""
        _, batch = self.batch(at)
        return step_function(self.rule, self.objective, self.buffers, batch, self.steps[at].rate, at + 1)

    def backwards(self) -> Iterator[int]:
        """Steps from the last to the first."""
        return reversed(range(len(self.steps)))

    def ones(self, at: int) -> Tensor:
        """The weights with which the step was taken."""
        sample = next(iter(self.final.values()))
        batch = self.steps[at].batch
        assert batch is not None
        return torch.ones(len(batch), dtype=sample.dtype, device=sample.device)

    def check(self, at: int, after: Parameters) -> None:
        """Raise EstimatorError where the step replayed ends elsewhere than the one recorded."""
        before, recorded = self.parameters(at), self.parameters(at + 1)
        length = _norm({name: recorded[name] - before[name] for name in before})
        missed = _norm({name: recorded[name] - after[name].detach() for name in before})
        rounded = 1e-4 * _norm(before) if self.precision == torch.float32 else 0.0
        if missed > AGREEMENT[self.precision] * max(length, rounded, 1e-300):
            raise EstimatorError(
                f"step {at} does not replay: it ends {missed / max(length, 1e-300):.2g} of its length "
                "from where the run went; dropout, augmentation, batch normalisation in training and a loss other than "
                "the objective's cannot be differentiated here"
            )

    def test_losses(self, test: Instances, parameters: Parameters) -> Tensor:
        """Losses [n_test]."""
        return losses(self.objective, parameters, self.buffers, test)


def _norm(tensors: Parameters) -> float:
    return float(torch.stack([each.double().square().sum() for each in tensors.values()]).sum().sqrt())
