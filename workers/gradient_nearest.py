"""Blocks of FastIF: influence on the nearest training instances of each test instance, unknown elsewhere."""

from functools import cached_property

import numpy as np
import torch

from estimators.arrays import BoolArray
from estimators.gradient.engine import BlockName, Engine
from estimators.gradient.fast_if import last_features, nearest
from estimators.gradient.top_scores import strongest_of
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_specs import GradientSpec

PROBED, TOP = 8, 10
"""Test instances whose influence is taken of all training instances, to see how many of the strongest were near."""
RECALL = f"smallest recall of the {TOP} strongest"


class NearestBlocks:
    """Blocks of the engine with gradients of those training rows only that are near a test instance of the columns."""

    def __init__(self, spec: GradientSpec, engine: Engine) -> None:
        self._spec, self._engine = spec, engine

    @property
    def cells(self) -> dict[Kind, int]:
        """All pairs, most of them unknown; stationarity stands for the recall that was measured."""
        return {"gradient": len(self._engine.train) * len(self._engine.test), "stationarity": 1}

    def tasks(self) -> list[GradientTask]:
        """Those of the engine, and the recall."""
        return [
            *(GradientTask("gradient", *name) for name in self._engine.names()),
            GradientTask("stationarity", 0, 0, 0),
        ]

    def compute(self, task: GradientTask) -> Computed:
        """Scores [r, c], NaN where the two are not near."""
        self._engine.facts = {}
        if task.kind == "stationarity":
            return Computed({}, 1, {RECALL: self._recall()})
        columns = slice(task.columns, task.columns + self._engine.columns)
        rows = slice(task.rows, task.rows + self._engine.source.block_rows)
        near = self._near[rows, columns]
        scores = np.full(near.shape, np.nan)
        wanted = np.flatnonzero(near.any(axis=1))
        if len(wanted):
            found = self._engine.rows_of(BlockName(0, task.columns, task.rows), wanted + task.rows)
            scores[wanted] = np.where(near[wanted], found, np.nan)
        return Computed({"scores": scores}, scores.size, self._engine.facts)

    @cached_property
    def _near(self) -> BoolArray:
        """Which pairs are near, [n, n_test]."""
        source = self._engine.source
        sides = [last_features(source, each) for each in (self._engine.train, self._engine.test)]
        found = np.zeros((len(sides[0]), len(sides[1])), dtype=np.bool_)
        np.put_along_axis(found, nearest(sides[0], sides[1], self._spec.nearest), values=True, axis=0)
        return found

    def _recall(self) -> float:
        """The worst test instance's share of its strongest proponents and opponents that were near it."""
        engine = self._engine
        probed = torch.linspace(0, len(engine.test) - 1, min(PROBED, len(engine.test))).round().long()
        some = Engine(engine.estimator, engine.source, engine.train, engine.test[probed], engine.trajectory)
        values = some.values()
        near = self._near[:, probed.numpy()]
        sides = [strongest_of([values], TOP, opponents=side).indices for side in (False, True)]
        shares = [np.take_along_axis(near, places, axis=0).mean(axis=0) for places in sides]
        return float(np.mean(shares, axis=0).min())
