"""Blocks of gradient values on a worker: computed from the request alone, stored whole under a name of their own."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from estimators.arrays import IntArray
from estimators.gradient.engine import Engine
from estimators.gradient.layout import layout_of
from estimators.gradient.methods import GradientMethod, Runner
from estimators.gradient.registry import gradient_method
from estimators.gradient.source import GradientSource, gradient_source
from estimators.gradient.trajectory import Checkpoint
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.gradient_blocks import Blocks
from workers.gradient_closed_form import ClosedFormBlocks, refuse_other_learners
from workers.gradient_engine import EngineBlocks
from workers.gradient_file import GradientTask, block_file
from workers.gradient_groups import GroupBlocks
from workers.gradient_heads import HeadBlocks, refuse_other_heads
from workers.gradient_nearest import NearestBlocks
from workers.gradient_problem import GradientProblem, State, gradient_problem
from workers.gradient_responses import ResponseBlocks
from workers.gradient_served import estimator_of, refuse_singular, served_method
from workers.gradient_specs import GradientSpec
from workers.gradient_trak import TrakBlocks
from workers.gradient_unrolled import UnrolledBlocks, run_notes
from workers.learner import Learner
from workers.learner_specs import LearnerSpec
from workers.learners import make_learner
from workers.recording import checkpoints_of, fast_hydra_trajectory
from workers.stored_model import StoredModel
from workers.stores import open_chunk_store
from workers.trajectory import RecordedRun, read_trajectory
from workers.user_code import CodeSnapshot


@dataclass(frozen=True, slots=True)
class GradientRequest:
    """Travels to each worker once. models: where each model stands. identity: in names of blocks.

    block_rows: of every block, decided once where the work is planned; None there. run: the file of a recorded run
    beside the blocks, in place of models. groups: the group [n] of each training instance, where sums are asked for.
    """

    spec: GradientSpec
    learner: LearnerSpec
    data: Dataset
    code: CodeSnapshot | None
    device: str
    models: tuple[StoredModel, ...]
    address: str
    identity: str
    block_rows: int | None = None
    run: str = ""
    groups: IntArray | None = None


class GradientWork:
    """One worker's blocks. A block depends on the request and its task alone."""

    def __init__(self, request: GradientRequest, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._request = request
        method = served_method(request.spec)
        learner = make_learner(request.learner, request.data, request.code, device=request.device)
        self.problem = gradient_problem(learner)
        store = open_chunk_store(request.address)
        self._run = read_trajectory(request.run, store.get(request.run)) if request.run else None
        self._source = _source(self.problem, request.spec, method, self._first(), request.block_rows)
        self._blocks = self._runner(method)

    def tasks(self) -> list[GradientTask]:
        """Every block of the values."""
        return self._blocks.tasks()

    @property
    def block_rows(self) -> int:
        """Training rows of a block."""
        return self._source.block_rows

    def store(self, task: GradientTask) -> str:
        """Compute a block and put it; returns the file's name."""
        found = self._blocks.compute(task)
        about = () if self._run is None else run_notes(self._request.spec, self._run)
        told = {
            "facts": found.facts,
            "loss": self.problem.loss,
            "notes": [*self.problem.notes, *about],
            "block_rows": self.block_rows,
            "cells": found.cells,
            "cells_in_all": dict(self._blocks.cells),
            "deletion": self.problem.objective.deletion,
        }
        file, content = block_file(self._request.identity, task, found.arrays, json.dumps(told, sort_keys=True))
        open_chunk_store(self._request.address).put(file, content)
        return file

    def _first(self) -> State:
        """The parameters that forms are checked at."""
        return self._state(0) if self._run is None else self.problem.state(self._run.models, 0)

    def _state(self, number: int) -> State:
        return self.problem.state(self._request.models[number].read(), 0)

    def _runner(self, method: GradientMethod) -> Blocks:
        spec, problem, source = self._request.spec, self.problem, self._source
        make: Mapping[Runner, Callable[[], Blocks]] = {
            "engine": lambda: EngineBlocks(spec, self._engine(), self._request.groups),
            "nearest": lambda: NearestBlocks(spec, self._engine()),
            "groups": lambda: GroupBlocks(spec, problem, source, self._state(0), self._request.groups),
            "trak": lambda: TrakBlocks(spec, problem, source, self._state),
            "unroll": lambda: UnrolledBlocks(spec, problem, source, self._run),
            "response": lambda: ResponseBlocks(spec, problem, source, self._state(0)),
            "head": lambda: HeadBlocks(spec, problem, source),
            "closed_form": lambda: ClosedFormBlocks(spec, problem),
        }
        return make[method.runner]()

    def _engine(self) -> Engine:
        spec, problem = self._request.spec, self.problem
        trajectory = (Checkpoint(self._first()),) if self._run is None else _trajectory(problem, spec, self._run)
        return Engine(estimator_of(spec), self._source, problem.train, problem.test, trajectory)


def refuse_misfit(spec: GradientSpec, learner: Learner) -> None:
    """Look at an entry before anything is trained for it: its gradients are taken of three instances, untrained.

    Raises LearnerError or EstimatorError where the method does not fit the learner, its model or its data.
    """
    method, problem = served_method(spec), gradient_problem(learner)
    if method.runner == "trak" and problem.loss != "cross_entropy":
        raise LearnerError(
            f"gradients: {spec.method} explains classifiers' cross-entropy, not {problem.loss}",
            mend="take influence_function or tracin_cp",
        )
    if method.runner == "head":
        refuse_other_heads(spec, problem)
    if method.runner == "closed_form":
        refuse_other_learners(spec, problem)
    source = _source(problem, spec, method, problem.objective.module.state_dict(), 1)
    if method.runner == "trak":
        refuse_singular(spec, len(problem.train), source.model_layout.size)


def _source(
    problem: GradientProblem, spec: GradientSpec, method: GradientMethod, state: State, block_rows: int | None
) -> GradientSource:
    source = gradient_source(
        problem.objective,
        problem.train,
        layers=spec.layers or _patterns(problem, method),
        dtype=getattr(torch, spec.dtype),
        device=problem.train.features.device,
        block_rows=block_rows,
    )
    source.load(state)
    return source


def _patterns(problem: GradientProblem, method: GradientMethod) -> tuple[str, ...]:
    if not isinstance(method.layers, str):
        return method.layers
    layers = layout_of(problem.objective.module).layers
    if method.layers == "embeddings":
        chosen = [layer for layer in layers if layer.form == "tokens"]
    else:
        chosen = [layer for layer in layers if layer.form == "outer"][-1:]
    if not chosen:
        raise LearnerError(
            f"gradients: {method.name} needs {method.layers}, which this model has not",
            mend="take the method of the whole model, `layers` says of which parameters",
        )
    return tuple(name for layer in chosen for name in layer.parameters)


def _trajectory(problem: GradientProblem, spec: GradientSpec, run: RecordedRun) -> tuple[Checkpoint, ...]:
    if spec.method == "hydra_fast":
        return fast_hydra_trajectory(problem, run)
    return checkpoints_of(problem, run, names_batches=gradient_method(spec.method).needs == "every step")
