"""Unrolled methods of a job: functions of one recorded run, some tests at a time."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import FloatArray
from estimators.gradient.objective import Instances
from estimators.gradient.record import CurvatureName, CurvatureOptions
from estimators.gradient.source import GradientSource
from estimators.gradient.trajectory import Checkpoint
from estimators.gradient.unroll.in_run import in_run_shapley, own_in_run_shapley, own_tracin_ideal, tracin_ideal
from estimators.gradient.unroll.influence import hydra, sgd_influence
from estimators.gradient.unroll.source import Segment, own_source_influence, segments_of, source_influence
from workers.errors import LearnerError
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_problem import GradientProblem
from workers.gradient_specs import GradientSpec
from workers.recording import checkpoints_of, final_of, rule_of, run_of
from workers.trajectory import SOLVED, RecordedRun

COLUMNS = 64
"""Tests of a block, each of which goes over the run once."""
_AT_ONCE = ("in_run_shapley", "tracin_ideal")
"""Methods whose run goes by once for all training instances' own losses."""
_DIFFERENTIATED = ("sgd_influence", "hydra", "hydra_fast")


class UnrolledBlocks:
    """Blocks of a function of one recorded run: all training instances against some tests."""

    def __init__(
        self, spec: GradientSpec, problem: GradientProblem, source: GradientSource, run: RecordedRun | None
    ) -> None:
        assert run is not None
        self._spec, self._problem, self._source, self._run = spec, problem, source, run

    @property
    def cells(self) -> dict[Kind, int]:
        """The whole matrix, and each instance on itself where that is asked for."""
        n = len(self._problem.train)
        found: dict[Kind, int] = {} if self._spec.given == "self" else {"gradient": n * len(self._problem.test)}
        return found | ({"self": n} if self._spec.stores_self_influence else {})

    @property
    def _rows_at_once(self) -> int:
        """Training instances of a block on their own losses."""
        return len(self._problem.train) if self._spec.method in _AT_ONCE else COLUMNS

    def tasks(self) -> list[GradientTask]:
        """Some tests at a time, then some training instances as tests of themselves."""
        tests, n = len(self._problem.test), len(self._problem.train)
        columns = range(0, tests, COLUMNS) if "gradient" in self.cells else range(0)
        rows = range(0, n, self._rows_at_once) if "self" in self.cells else range(0)
        return [
            *(GradientTask("gradient", 0, at, 0) for at in columns),
            *(GradientTask("self", 0, 0, at) for at in rows),
        ]

    def compute(self, task: GradientTask) -> Computed:
        """Values [n, c], or on the instances' own losses [r]."""
        if task.kind == "self":
            rows = torch.arange(task.rows, min(task.rows + self._rows_at_once, len(self._problem.train)))
            own, facts = own_values(self._spec, self._problem, self._run, self._source, rows)
            return Computed({"own": own}, len(own), facts)
        test = self._problem.test[task.columns : task.columns + COLUMNS]
        values, facts = unrolled_values(self._spec, self._problem, self._run, self._source, test)
        return Computed({"scores": values}, values.size, facts)


Found = tuple[FloatArray, Mapping[str, float]]


def unrolled_values(
    spec: GradientSpec, problem: GradientProblem, run: RecordedRun, source: GradientSource, test: Instances
) -> Found:
    """Values [n, n_test] on some tests, and facts of how they were come by.

    Raises LearnerError where the run has not what the method needs, EstimatorError where it does not replay.
    """
    if spec.method == "source":
        segments, final, curvature, options = _by_segments(spec, problem, run)
        values = source_influence(source, problem.train, test, segments, final, curvature=curvature, options=options)
        return values, {}
    unrolled = run_of(problem, run)
    if spec.method in {"sgd_influence", "hydra"}:
        found = (sgd_influence if spec.method == "sgd_influence" else hydra)(unrolled, test)
        return found.values, {"growth over the run": found.growth}
    if spec.method == "in_run_shapley":
        return in_run_shapley(unrolled, test), {}
    if spec.method == "tracin_ideal":
        return tracin_ideal(unrolled, test), {}
    raise LearnerError(f"gradients: {spec.method} is no unrolled method")


def own_values(
    spec: GradientSpec, problem: GradientProblem, run: RecordedRun, source: GradientSource, rows: Tensor
) -> Found:
    """Values of the training instances at positions `rows` on their own losses [r]; of methods `_AT_ONCE`, of all.

    Raises as `unrolled_values`.
    """
    if spec.method == "source":
        segments, final, curvature, options = _by_segments(spec, problem, run)
        own = own_source_influence(source, problem.train, rows, segments, final, curvature=curvature, options=options)
        return own, {}
    unrolled = run_of(problem, run)
    if spec.method == "in_run_shapley":
        return own_in_run_shapley(unrolled), {}
    if spec.method == "tracin_ideal":
        return own_tracin_ideal(unrolled), {}
    themselves = unrolled.train[rows]
    if spec.method == "hydra":
        found = hydra(unrolled, themselves, rows)
        return np.diagonal(found.values).copy(), {"growth over the run": found.growth}
    found = sgd_influence(unrolled, themselves)
    return found.values[rows.numpy(), np.arange(len(rows))], {"growth over the run": found.growth}


def _by_segments(
    spec: GradientSpec, problem: GradientProblem, run: RecordedRun
) -> tuple[tuple[Segment, ...], Checkpoint, CurvatureName, CurvatureOptions]:
    segments = segments_of(checkpoints_of(problem, run), spec.segments, momentum=rule_of(run).momentum)
    options = CurvatureOptions(
        damping=1e-12 if spec.damping is None else spec.damping, matrix=spec.matrix, labels=spec.labels, seed=spec.seed
    )
    return segments, final_of(problem, run), spec.curvature or "ekfac", options


def run_notes(spec: GradientSpec, run: RecordedRun) -> tuple[str, ...]:
    """What a reader has to know of the run behind the values."""
    facts = run.facts
    if facts["optimizer"] == SOLVED:
        return ("the learner solves for its optimum: its run is one checkpoint, at rate 1",)
    notes = [f"{len(run):,} checkpoints of a run of {facts['steps']:,} steps of {facts['optimizer']}"]
    plain = facts["optimizer"] == "sgd" and not facts["momentum"] and facts["clip_norm"] is None
    if not plain and spec.method not in _DIFFERENTIATED:
        notes.append(f"{spec.method} takes steps for plain gradient descent: it leaves momentum, Adam and clipping out")
    return tuple(notes)
