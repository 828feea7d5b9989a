"""Unrolled methods of a job: functions of one recorded run, some tests at a time."""

from collections.abc import Mapping

from estimators.arrays import FloatArray
from estimators.gradient.objective import Instances
from estimators.gradient.record import CurvatureOptions
from estimators.gradient.source import GradientSource
from estimators.gradient.unroll.in_run import in_run_shapley, tracin_ideal
from estimators.gradient.unroll.influence import hydra, sgd_influence
from estimators.gradient.unroll.source import segments_of, source_influence
from workers.errors import LearnerError
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_problem import GradientProblem
from workers.gradient_specs import GradientSpec
from workers.recording import checkpoints_of, final_of, rule_of, run_of
from workers.trajectory import SOLVED, RecordedRun

COLUMNS = 64
"""Tests of a block, each of which goes over the run once."""
_DIFFERENTIATED = ("sgd_influence", "hydra", "hydra_fast")


class UnrolledBlocks:
    """Blocks of a function of one recorded run: all training instances against some tests."""

    def __init__(self, spec: GradientSpec, problem: GradientProblem, source: GradientSource, run: RecordedRun) -> None:
        self._spec, self._problem, self._source, self._run = spec, problem, source, run

    @property
    def cells(self) -> dict[Kind, int]:
        """The whole matrix."""
        return {"gradient": len(self._problem.train) * len(self._problem.test)}

    def tasks(self) -> list[GradientTask]:
        """Some tests at a time."""
        return [GradientTask("gradient", 0, columns, 0) for columns in range(0, len(self._problem.test), COLUMNS)]

    def compute(self, task: GradientTask) -> Computed:
        """Values [n, c]."""
        test = self._problem.test[task.columns : task.columns + COLUMNS]
        values, facts = unrolled_values(self._spec, self._problem, self._run, self._source, test)
        return Computed({"scores": values}, values.size, facts)


def unrolled_values(
    spec: GradientSpec, problem: GradientProblem, run: RecordedRun, source: GradientSource, test: Instances
) -> tuple[FloatArray, Mapping[str, float]]:
    """Values [n, n_test] on some tests, and facts of how they were come by.

    Raises LearnerError where the run has not what the method needs, EstimatorError where it does not replay.
    """
    if spec.method == "source":
        return _by_segments(spec, problem, run, source, test), {}
    unrolled = run_of(problem, run)
    if spec.method in {"sgd_influence", "hydra"}:
        found = (sgd_influence if spec.method == "sgd_influence" else hydra)(unrolled, test)
        return found.values, {"growth over the run": found.growth}
    if spec.method == "in_run_shapley":
        return in_run_shapley(unrolled, test), {}
    if spec.method == "tracin_ideal":
        return tracin_ideal(unrolled, test), {}
    raise LearnerError(f"gradients: {spec.method} is no unrolled method")


def _by_segments(
    spec: GradientSpec, problem: GradientProblem, run: RecordedRun, source: GradientSource, test: Instances
) -> FloatArray:
    rule = rule_of(run)
    segments = segments_of(checkpoints_of(problem, run), spec.segments, momentum=rule.momentum)
    options = CurvatureOptions(
        damping=1e-12 if spec.damping is None else spec.damping, matrix=spec.matrix, labels=spec.labels, seed=spec.seed
    )
    curvature = spec.curvature or "ekfac"
    final = final_of(problem, run)
    return source_influence(source, problem.train, test, segments, final, curvature=curvature, options=options)


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
