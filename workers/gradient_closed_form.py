"""Blocks of what ridge regression has in closed form: exact leave-one-out, Cook's distance, DFFITS."""

from functools import cached_property

import numpy as np
import torch
from torch import nn

from estimators.arrays import FloatArray
from estimators.gradient.closed_form import LeastSquares, least_squares
from estimators.gradient.objective import Instances
from workers.errors import LearnerError
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_problem import GradientProblem
from workers.gradient_specs import GradientSpec


class ClosedFormBlocks:
    """One block each, for the whole is a few products. No model is trained: the solution is the learner's own."""

    def __init__(self, spec: GradientSpec, problem: GradientProblem) -> None:
        self._spec, self._problem = spec, problem

    @property
    def cells(self) -> dict[Kind, int]:
        """Exact influence has a matrix, distances have one number an instance."""
        n = len(self._problem.train)
        matrix: dict[Kind, int] = {"gradient": n * len(self._problem.test)}
        return (matrix if self._spec.method == "ridge_leave_one_out" else {}) | {"self": n}

    def tasks(self) -> list[GradientTask]:
        """At most two."""
        return [GradientTask(kind, 0, 0, 0) for kind in self.cells]

    def compute(self, task: GradientTask) -> Computed:
        """Values of all instances."""
        facts = {"largest leverage": float(self._fit.leverages.max())}
        if task.kind == "gradient":
            columns, targets = self._columns(self._problem.test), self._problem.test.labels.double().numpy()
            scores = self._fit.leave_one_out(columns, targets, factor=1.0)
            return Computed({"scores": scores}, scores.size, facts)
        own = self._own()
        return Computed({"own": own}, len(own), facts)

    def _own(self) -> FloatArray:
        if self._spec.method == "cooks_distance":
            return self._fit.cooks_distances()
        if self._spec.method == "dffits":
            return self._fit.dffits()
        columns, targets = self._columns(self._problem.train), self._problem.train.labels.double().numpy()
        return self._fit.own_leave_one_out(columns, targets, factor=1.0)

    @cached_property
    def _fit(self) -> LeastSquares:
        """Rows times the roots of their weights: weighted least squares is least squares of these."""
        train, module = self._problem.train, self._problem.objective.module
        columns, targets = self._columns(train), train.labels.double().numpy()
        roots = np.ones(len(targets)) if train.weights is None else np.sqrt(train.weights.double().numpy())
        assert isinstance(module, nn.Linear)
        penalty = self._problem.objective.penalty
        assert isinstance(penalty, dict)
        penalties = np.full(columns.shape[1], penalty["weight"] / 2.0)  # of (1/2) e^2, the learner's is of e^2
        if module.bias is not None:
            penalties[-1] = 0.0
        return least_squares(columns * roots[:, None], targets * roots, penalty=penalties)

    def _columns(self, instances: Instances) -> FloatArray:
        features = instances.features.double()
        module = self._problem.objective.module
        assert isinstance(module, nn.Linear)
        if module.bias is not None:
            features = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
        found: FloatArray = features.numpy()
        return found


def refuse_other_learners(spec: GradientSpec, problem: GradientProblem) -> None:
    """Raise LearnerError for any learner but ridge regression, and for DFFITS with a penalty."""
    module = problem.objective.module
    if not isinstance(module, nn.Linear) or problem.objective.deletion != "sum":
        raise LearnerError(
            f"gradients: {spec.method} is a closed form of `kind: ridge`; this learner is another",
            mend="take influence_function (`gives: self` for one number an instance), or learner: {kind: ridge}",
        )
    penalty = problem.objective.penalty
    if spec.method == "dffits" and isinstance(penalty, dict) and penalty["weight"]:
        raise LearnerError(
            "gradients: dffits is of least squares", mend="write `alpha: 0` in the learner, or take cooks_distance"
        )
