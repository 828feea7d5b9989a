"""Blocks of group influence: the parameters' move without a group, one block a group."""

from functools import cached_property

import numpy as np
import torch

from estimators.arrays import IntArray
from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.fitting import fit_curvature
from estimators.gradient.second_order import group_change, group_influence
from estimators.gradient.source import GradientSource
from estimators.gradient.stationarity import stationarity
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_problem import GradientProblem, State
from workers.gradient_served import estimator_of
from workers.gradient_specs import GradientSpec


class GroupBlocks:
    """groups: the group [n] of each training instance; rows of a block: the group's number."""

    def __init__(
        self,
        spec: GradientSpec,
        problem: GradientProblem,
        source: GradientSource,
        state: State,
        groups: IntArray | None,
    ) -> None:
        assert groups is not None
        self._spec, self._problem, self._source, self._state = spec, problem, source, state
        self._groups = groups

    @property
    def cells(self) -> dict[Kind, int]:
        """A number a group and test instance."""
        return {"gradient": self._count * len(self._problem.test), "stationarity": 1}

    @property
    def _count(self) -> int:
        return int(self._groups.max()) + 1

    def tasks(self) -> list[GradientTask]:
        """One a group."""
        return [*(GradientTask("gradient", 0, 0, g) for g in range(self._count)), GradientTask("stationarity", 0, 0, 0)]

    def compute(self, task: GradientTask) -> Computed:
        """Influence [1, n_test] of the group as a whole; residual: of a Newton step."""
        if task.kind == "stationarity":
            return Computed({}, 1, stationarity(self._source, self._problem.train, self._state))
        spec, members = self._spec, torch.from_numpy(np.flatnonzero(self._groups == task.rows))
        self._curvature.facts = dict(self._fitted)
        found = group_change(
            self._source,
            self._problem.train,
            members,
            self._curvature,
            form=spec.form,
            matrix=spec.matrix,
            tolerance=spec.tolerance,
        )
        measured = spec.losses == "measured"
        influence = group_influence(self._source, self._problem.test, found.change, exact_losses=measured)
        facts = dict(self._curvature.facts)
        if spec.form == "newton":
            facts |= {"residual": found.residual, "tolerance": spec.tolerance}
        scores = influence[None].astype(np.float64)
        return Computed({"scores": scores, "positions": np.array([task.rows])}, scores.size, facts)

    @cached_property
    def _curvature(self) -> Curvature:
        record = estimator_of(self._spec)
        return fit_curvature(record.curvature, self._source, self._problem.train, record.options)

    @cached_property
    def _fitted(self) -> dict[str, float]:
        return dict(self._curvature.facts)
