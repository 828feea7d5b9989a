"""Blocks of the one engine: scores, means over tests, top lists, sums over groups, self-influence, stationarity."""

import numpy as np

from estimators.arrays import AnyArray, IntArray
from estimators.gradient.engine import BlockName, Engine
from estimators.gradient.stationarity import stationarity
from estimators.gradient.top_scores import strongest_of
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_specs import GradientSpec

_Block = tuple[dict[str, AnyArray], int]


class EngineBlocks:
    """groups: the group [n] of each training instance, where the entry gives sums over groups."""

    def __init__(self, spec: GradientSpec, engine: Engine, groups: IntArray | None) -> None:
        self._spec, self._engine, self._groups = spec, engine, groups

    @property
    def cells(self) -> dict[Kind, int]:
        """Of scores, of self-influence, of stationarity."""
        engine, gives = self._engine, self._spec.given
        n, n_test, checkpoints = len(engine.train), len(engine.test), len(engine.trajectory)
        scores = {"mean": n * checkpoints, "strongest": n * n_test}.get(gives, n * n_test * checkpoints)
        found: dict[Kind, int] = {} if gives == "self" else {"gradient": scores}
        if self._spec.stores_self_influence:
            found["self"] = n * checkpoints
        return found | ({"stationarity": 1} if checkpoints == 1 else {})

    def tasks(self) -> list[GradientTask]:
        """Scores first, in an order that needs each checkpoint's test side once."""
        engine, gives = self._engine, self._spec.given
        starts = range(0, len(engine.train), engine.source.block_rows)
        every = [(t, rows) for t in range(len(engine.trajectory)) for rows in starts]
        found: list[GradientTask] = []
        if gives in {"matrix", "groups"}:
            found = [GradientTask("gradient", *name) for name in engine.names()]
        elif gives == "mean":
            found = [GradientTask("gradient", t, 0, rows) for t, rows in every]
        elif gives == "strongest":
            found = [GradientTask("gradient", 0, 0, rows) for rows in range(0, len(engine.train), engine.stretch)]
        if self._spec.stores_self_influence:
            found += [GradientTask("self", t, 0, rows) for t, rows in every]
        if len(engine.trajectory) == 1:
            found.append(GradientTask("stationarity", 0, 0, 0))
        return found

    def compute(self, task: GradientTask) -> Computed:
        """The block's arrays, and the facts of its own solves."""
        engine = self._engine
        engine.facts = {}
        if task.kind == "stationarity":
            return Computed({}, 1, stationarity(engine.source, engine.train, engine.trajectory[0].parameters))
        if task.kind == "self":
            own = engine.self_block(task.checkpoint, task.rows)
            return Computed({"own": own}, len(own), engine.facts)
        gives = {"matrix": self._matrix, "mean": self._mean, "strongest": self._strongest, "groups": self._sums}
        arrays, cells = gives[self._spec.given](task)
        return Computed(arrays, cells, engine.facts)

    def _matrix(self, task: GradientTask) -> _Block:
        name = BlockName(task.checkpoint, task.columns, task.rows)
        if not self._engine.varies:
            scores = self._engine.block(name)
            return {"scores": scores}, scores.size
        scores, variances, of_mean = self._engine.projected_block(name)
        return {"scores": scores, "variances": variances, "mean_variances": of_mean}, scores.size

    def _mean(self, task: GradientTask) -> _Block:
        scores = self._engine.joint_block(task.checkpoint, task.rows)
        return {"scores": scores / len(self._engine.test)}, scores.size

    def _strongest(self, task: GradientTask) -> _Block:
        scores, count = self._engine.rows_block(task.rows), self._spec.strongest
        found: dict[str, AnyArray] = {}
        for side in ("proponents", "opponents"):
            top = strongest_of([scores], count, opponents=side == "opponents")
            found[side], found[f"{side}_values"] = top.indices + task.rows, top.values
        return found, scores.size

    def _sums(self, task: GradientTask) -> _Block:
        assert self._groups is not None
        scores = self._engine.block(BlockName(task.checkpoint, task.columns, task.rows))
        sums = np.zeros((int(self._groups.max()) + 1, scores.shape[1]))
        np.add.at(sums, self._groups[task.rows : task.rows + len(scores)], scores)
        return {"scores": sums}, scores.size
