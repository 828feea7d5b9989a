"""The seam of learners that record their run, and what a recorded run is to the gradient estimators."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from estimators.arrays import BoolArray
from estimators.gradient.trajectory import Checkpoint, Trajectory
from estimators.gradient.unroll.influence import effective_rates
from estimators.gradient.unroll.run import Run
from estimators.gradient.unroll.steps import StepRule
from workers.errors import LearnerError
from workers.gradient_problem import GradientProblem
from workers.learner import Learner
from workers.trajectory import SOLVED, RecordedRun, TrajectoryMode


@runtime_checkable
class RunRecorder(Protocol):
    """A learner that records a run. Law: recorded again it is the same to the bit, on one numeric class."""

    def recorded(self, members: BoolArray, seed: int, mode: TrajectoryMode) -> RecordedRun:
        """The retrain on members [n] with its seed, as it went."""
        ...


def recorder_of(learner: Learner) -> RunRecorder:
    """The learner as one that records; raises LearnerError where it cannot."""
    if isinstance(learner, RunRecorder):
        return learner
    raise LearnerError(
        f"trajectory: a {type(learner).__name__} records no run; take kind: torch, logistic_regression or ridge"
    )


def checkpoints_of(problem: GradientProblem, run: RecordedRun, *, names_batches: bool = False) -> Trajectory:
    """The checkpoints of a run, in order; names_batches: with their batches and states, which unrolled methods need.

    Raises LearnerError where batches are asked for and not every step is there.
    """
    if names_batches:
        _refuse_gaps(run)
    return tuple(_checkpoint(problem, run, at, names_batches=names_batches) for at in range(len(run)))


def final_of(problem: GradientProblem, run: RecordedRun) -> Checkpoint:
    """The end of a run, as a checkpoint that stands for no step."""
    return Checkpoint(problem.state(run.models, len(run)), rate=0.0, batch=torch.zeros(0, dtype=torch.int64), steps=0)


def fast_hydra_trajectory(problem: GradientProblem, run: RecordedRun) -> Trajectory:
    """Every step at its effective rate, then the end: with these HyDRA's fast form is a record of the engine.

    Raises LearnerError where not every step is there, or steps were not of SGD as the recursion takes them.
    """
    rule = rule_of(run)
    if rule.name != "sgd" or rule.nesterov or rule.clip_norm is not None:
        raise LearnerError(
            "gradients: hydra_fast takes steps of SGD, with momentum or without, no Nesterov and no clip_norm; take "
            "sgd_influence, which differentiates any step"
        )
    rates = effective_rates(run.rates, momentum=rule.momentum, penalty=rule.weight_decay)
    steps = checkpoints_of(problem, run, names_batches=True)
    moved = (replace(step, rate=float(rate)) for step, rate in zip(steps, rates, strict=True))
    return (*moved, final_of(problem, run))


def run_of(problem: GradientProblem, run: RecordedRun) -> Run:
    """The run, ready to be differentiated. Raises LearnerError where not every step is there."""
    objective = replace(problem.objective, module=problem.objective.module.eval().to(problem.train.features.device))
    device = problem.train.features.device
    final = {name: each.to(device) for name, each in problem.state(run.models, len(run)).items()}
    trained = [name for name, each in objective.module.named_parameters() if each.requires_grad]
    return Run(
        objective=objective,
        rule=rule_of(run),
        train=problem.train,
        steps=tuple(_moved(each, device) for each in checkpoints_of(problem, run, names_batches=True)),
        final={name: final[name] for name in trained},
        precision=torch.float32,
    )


def rule_of(run: RecordedRun) -> StepRule:
    """How parameters moved; raises LearnerError for a learner that takes no steps."""
    facts = run.facts
    if facts["optimizer"] == SOLVED:
        raise LearnerError("gradients: this learner solves for its optimum and takes no steps that could be unrolled")
    return StepRule(
        name=facts["optimizer"],
        momentum=facts["momentum"],
        nesterov=facts["nesterov"],
        weight_decay=facts["weight_decay"],
        betas=tuple(facts["betas"]),
        eps=facts["eps"],
        clip_norm=facts["clip_norm"],
    )


def _moved(checkpoint: Checkpoint, device: torch.device) -> Checkpoint:
    parameters = {name: each.to(device) for name, each in checkpoint.parameters.items()}
    state = {name: each.to(device) for name, each in checkpoint.state.items()}
    batch = None if checkpoint.batch is None else checkpoint.batch.to(device)
    return replace(checkpoint, parameters=parameters, batch=batch, state=state)


def _refuse_gaps(run: RecordedRun) -> None:
    rule_of(run)
    if run.facts.get("early_stopping"):
        raise LearnerError("gradients: a run with early_stopping ends at an earlier epoch and cannot be unrolled")
    if not run.whole:
        raise LearnerError("gradients: this method needs every step of the run: `trajectory: all`")


def _checkpoint(problem: GradientProblem, run: RecordedRun, at: int, *, names_batches: bool) -> Checkpoint:
    state: Callable[[Any], Tensor] = torch.from_numpy
    return Checkpoint(
        parameters=problem.state(run.models, at),
        rate=float(run.rates[at]),
        batch=torch.from_numpy(run.batches[at]) if names_batches else None,
        steps=int(run.spans[at]),
        state={name: state(each[at]) for name, each in run.optimizer.items()} if names_batches else {},
    )
