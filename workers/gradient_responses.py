"""Blocks of proximal Bregman responses: a few training instances each, every one a fine-tuning from the model."""

from functools import cached_property

import numpy as np
import torch

from estimators.arrays import IntArray
from estimators.gradient.pbrf import ProximalBregman
from estimators.gradient.source import GradientSource
from estimators.gradient.stationarity import stationarity
from estimators.seeding import generator
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_problem import GradientProblem, State
from workers.gradient_specs import GradientSpec

ROWS = 8
"""Training instances of a block."""
DAMPING = 0.01


class ResponseBlocks:
    """Rows of a block are places among the instances chosen; `positions` says which these are."""

    def __init__(self, spec: GradientSpec, problem: GradientProblem, source: GradientSource, state: State) -> None:
        self._spec, self._source, self._state = spec, source, state
        self._train, self._test = problem.train, problem.test
        self._chosen = chosen_instances(spec, len(problem.train))

    @property
    def cells(self) -> dict[Kind, int]:
        """Of the instances chosen."""
        return {"gradient": len(self._chosen) * len(self._test), "stationarity": 1}

    def tasks(self) -> list[GradientTask]:
        """Some instances at a time."""
        blocks = [GradientTask("gradient", 0, 0, rows) for rows in range(0, len(self._chosen), ROWS)]
        return [*blocks, GradientTask("stationarity", 0, 0, 0)]

    def compute(self, task: GradientTask) -> Computed:
        """Changes of the test losses [r, n_test] with each instance left out; residual: the worst gradient left."""
        if task.kind == "stationarity":
            return Computed({}, 1, stationarity(self._source, self._train, self._state))
        positions = self._chosen[task.rows : task.rows + ROWS]
        spec, groups = self._spec, [torch.tensor([int(place)]) for place in positions]
        found = self._objective.responses(self._test, groups, spec.iterations, spec.tolerance)
        facts = {"damping": self._damping, "residual": float(found.gradients.max()), "tolerance": spec.tolerance}
        return Computed({"scores": found.values, "positions": positions}, found.values.size, facts)

    @cached_property
    def _objective(self) -> ProximalBregman:
        """Made once for all blocks of a worker."""
        return ProximalBregman(self._source, self._train, self._damping)

    @property
    def _damping(self) -> float:
        return DAMPING if self._spec.damping is None else self._spec.damping


def chosen_instances(spec: GradientSpec, n: int) -> IntArray:
    """Positions, in order, of the training instances that are left out, each drawn once."""
    if spec.instances is None or spec.instances >= n:
        return np.arange(n, dtype=np.int64)
    drawn = generator("pbrf", spec.seed).choice(n, spec.instances, replace=False)
    return np.sort(drawn).astype(np.int64)
