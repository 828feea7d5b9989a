"""Blocks of gradient values on a worker: computed from the request alone, stored whole under a name of their own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from estimators.arrays import AnyArray, FloatArray
from estimators.gradient.engine import BlockName, Engine
from estimators.gradient.layout import layout_of
from estimators.gradient.methods import GradientMethod
from estimators.gradient.registry import gradient_method
from estimators.gradient.source import GradientSource, gradient_source
from estimators.gradient.trajectory import Checkpoint
from estimators.gradient.trak import trak
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.gradient_file import block_file
from workers.gradient_problem import GradientProblem, gradient_problem
from workers.gradient_specs import GradientSpec, estimator_of, served_method, trak_projection
from workers.gradient_unrolled import run_notes, unrolled_values
from workers.keeping import Models
from workers.learner_specs import LearnerSpec
from workers.learners import make_learner
from workers.recording import checkpoints_of, fast_hydra_trajectory
from workers.stores import open_chunk_store
from workers.trajectory import RecordedRun, read_trajectory
from workers.user_code import CodeSnapshot

WHOLE = BlockName(0, 0, 0)
COLUMNS = 64
"""Tests of a block of an unrolled method, each of which goes over the run once."""


@dataclass(frozen=True, slots=True)
class GradientRequest:
    """Travels to each worker once. models: of the whole training set, each array [models, ...]. identity: in names.

    block_rows: of every block, decided once where the work is planned; None there. run: the file of a recorded run
    beside the blocks, in place of models.
    """

    spec: GradientSpec
    learner: LearnerSpec
    data: Dataset
    code: CodeSnapshot | None
    device: str
    models: Mapping[str, AnyArray]
    address: str
    identity: str
    block_rows: int | None = None
    run: str = ""


class GradientWork:
    """One worker's engine. A block depends on the request and its name alone."""

    def __init__(self, request: GradientRequest, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._request = request
        self._method = served_method(request.spec)
        learner = make_learner(request.learner, request.data, request.code, device=request.device)
        self.problem = gradient_problem(learner)
        store = open_chunk_store(request.address)
        self._run = read_trajectory(request.run, store.get(request.run)) if request.run else None
        models = request.models if self._run is None else self._run.models
        self._source = _source(self.problem, request, self._method, models)
        self._engine = None
        if self._method.runner == "engine":
            trajectory = _trajectory(self.problem, request.spec, models, self._run)
            self._engine = Engine(
                estimator_of(request.spec), self._source, self.problem.train, self.problem.test, trajectory
            )

    def names(self) -> list[BlockName]:
        """Every block of the values."""
        if self._method.runner == "unroll":
            return [BlockName(0, columns, 0) for columns in range(0, len(self.problem.test), COLUMNS)]
        return [WHOLE] if self._engine is None else list(self._engine.names())

    @property
    def block_rows(self) -> int:
        """Training rows of a block."""
        return self._source.block_rows

    def store(self, name: BlockName) -> str:
        """Compute a block and put it; returns the file's name."""
        scores, facts = self._scores(name)
        about = () if self._run is None else run_notes(self._request.spec, self._run)
        told = {"facts": facts, "loss": self.problem.loss, "notes": [*self.problem.notes, *about]}
        file, content = block_file(self._request.identity, name, scores, json.dumps(told, sort_keys=True))
        open_chunk_store(self._request.address).put(file, content)
        return file

    def _scores(self, name: BlockName) -> tuple[FloatArray, Mapping[str, float]]:
        if self._engine is not None:
            return self._engine.block(name), self._engine.facts
        if self._run is None:
            return self._trak(), {}
        test = self.problem.test[name.columns : name.columns + COLUMNS]
        return unrolled_values(self._request.spec, self.problem, self._run, self._source, test)

    def _trak(self) -> FloatArray:
        spec, models = self._request.spec, self._request.models
        states = [self.problem.state(models, k) for k in range(spec.models_needed)]
        projection = trak_projection(spec)
        damping = 0.0 if spec.damping is None else spec.damping
        return trak(
            self._source,
            self.problem.train,
            self.problem.test,
            states,
            projection=projection,
            damping=damping,
            output="loss",
        )


def _source(
    problem: GradientProblem, request: GradientRequest, method: GradientMethod, models: Models
) -> GradientSource:
    patterns = request.spec.layers or _patterns(problem, method)
    source = gradient_source(
        problem.objective,
        problem.train,
        layers=patterns,
        dtype=getattr(torch, request.spec.dtype),
        device=problem.train.features.device,
        block_rows=request.block_rows,
    )
    source.load(problem.state(models, 0))
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
        raise LearnerError(f"gradients: {method.name} needs {method.layers}, which this model has not")
    return tuple(name for layer in chosen for name in layer.parameters)


def _trajectory(
    problem: GradientProblem, spec: GradientSpec, models: Models, run: RecordedRun | None
) -> tuple[Checkpoint, ...]:
    if run is None:
        return (Checkpoint(problem.state(models, 0)),)
    if spec.method == "hydra_fast":
        return fast_hydra_trajectory(problem, run)
    return checkpoints_of(problem, run, names_batches=gradient_method(spec.method).needs == "every step")
