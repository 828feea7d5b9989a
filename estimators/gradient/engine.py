"""The one engine of gradient estimators: for each checkpoint the test side once, then training blocks."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.errors import EstimatorError
from estimators.gradient.facts import merged_facts
from estimators.gradient.fitting import fit_curvature
from estimators.gradient.objective import Instances
from estimators.gradient.projection import Projector, product_variances
from estimators.gradient.record import Estimator
from estimators.gradient.source import GradientSource
from estimators.gradient.stage import SIDE_FLOATS, Stage, TestSide
from estimators.gradient.top_scores import TopScores, strongest_of
from estimators.gradient.trajectory import Checkpoint, Trajectory
from estimators.seeding import derive_seed

SUMS = 2**24
"""Scores summed over a trajectory at once (128 MB), where its test sides are too large to be held together."""
JOINT = -1
"""In place of columns: the sum of all test losses."""


class BlockName(NamedTuple):
    """One piece of work: training rows [rows, rows + r) against tests [columns, columns + c) at one checkpoint."""

    checkpoint: int
    columns: int
    rows: int


class Engine:
    """An estimator on training and test instances along a trajectory. Values are + for proponents, [n, n_test].

    A block depends on its name alone, so blocks may be computed anywhere, in any order, again. Memory: the result, one
    block, and the test side of one checkpoint; of those that rank without the full matrix, every checkpoint's test side
    while these are small.

    Raises:
        EstimatorError: an empty trajectory, or weights that need what its checkpoints lack.
    """

    def __init__(
        self,
        estimator: Estimator,
        source: GradientSource,
        train: Instances,
        test: Instances,
        trajectory: Trajectory = (),
    ) -> None:
        self.estimator = estimator
        self.source = source if estimator.projection is None else source.projected(estimator.projection)
        self.train = train
        self.test = test
        named = dict(source.objective.module.state_dict())
        self.trajectory = trajectory or (Checkpoint(parameters=named),)
        if estimator.weights == "batch" and any(c.batch is None for c in self.trajectory):
            raise EstimatorError(f"{estimator.name} needs every step's batch; these checkpoints have none")
        self._stage: tuple[int, Stage] | None = None
        self._stages: dict[int, Stage] = {}
        self.facts: dict[str, float] = {}

    @property
    def columns(self) -> int:
        """Test instances whose side is held at once."""
        if self.estimator.curvature == "identity":
            return len(self.test)
        return max(1, min(len(self.test), SIDE_FLOATS // self.source.layout.size))

    def names(self) -> Iterator[BlockName]:
        """Every block, in an order that needs each checkpoint's test side once."""
        for checkpoint in range(len(self.trajectory)):
            for columns in range(0, len(self.test), self.columns):
                for rows in range(0, len(self.train), self.source.block_rows):
                    yield BlockName(checkpoint, columns, rows)

    def block(self, name: BlockName) -> FloatArray:
        """Scores [r, c] float64 of one block."""
        return self._block(self.stage(name.checkpoint), name)

    def rows_of(self, name: BlockName, positions: IntArray) -> FloatArray:
        """Scores [r, c] float64 of some training positions against a block's columns at its checkpoint."""
        stage = self.stage(name.checkpoint)
        return self._scores_at(stage, self._side(stage, name.columns), positions)

    def values(self) -> FloatArray:
        """Influence [n, n_test] float64."""
        total = np.zeros((len(self.train), len(self.test)))
        for name in self.names():
            part = self.block(name)
            rows, columns = slice(name.rows, name.rows + len(part)), slice(name.columns, name.columns + part.shape[1])
            total[rows, columns] += part
        return total

    def projected_block(self, name: BlockName) -> tuple[FloatArray, FloatArray, FloatArray]:
        """A block's scores [r, c] with their variances over random projections, and those of their mean [r].

        Raises EstimatorError where scores are not sums over independent rows of a projection.
        """
        if not self.varies:
            raise EstimatorError(f"{self.estimator.name} has no error over projections")
        stage = self.stage(name.checkpoint)
        side = self._side(stage, name.columns)
        rotated, factors = stage.train_block(self.train[name.rows : self._stop(name.rows)])
        weights, images = factors[:, None], torch.cat([rows.dense() for rows in side.rows])
        found = (
            side.scores(rotated) * weights,
            product_variances(rotated.dense(), images) * weights.square(),
            product_variances(rotated.dense(), images.mean(dim=0, keepdim=True))[:, 0] * factors.square(),
        )
        scores, variances, of_mean = (each.cpu().numpy() for each in found)
        return scores, variances, of_mean

    @property
    def varies(self) -> bool:
        """Scores are sums of products of a random projection's rows, so that their error over projections is known."""
        record = self.estimator
        projected = record.projection is not None and record.projection.kind != "factored"
        return projected and record.curvature == "identity" and record.normalise == "none" and record.weights != "batch"

    def self_influence(self, *, mirror: Instances | None = None) -> FloatArray:
        """Each training instance's influence on its own loss, [n] float64: the diagonal, without the matrix.

        mirror: the training instances with noise of their own, for the other side: with the same draws on both sides
        of a loss over noise, the square of a mean is too large by its variance.
        """
        return self._over_rows(lambda t, rows: self.self_block(t, rows, mirror=mirror))

    def self_block(self, checkpoint: int, rows: int, *, mirror: Instances | None = None) -> FloatArray:
        """Self-influence [r] of one block of training rows at one checkpoint."""
        stage = self.stage(checkpoint)
        positions = np.arange(rows, self._stop(rows))
        counting = self._counting(stage, positions)
        found = np.zeros(len(positions))
        if counting.any():
            at = _index(positions[counting])
            scores = stage.self_scores(self.train[at], None if mirror is None else mirror[at])
            found[counting] = scores.cpu().numpy()
        self.facts = merged_facts(self.facts, stage.curvature.facts)
        return found

    def joint(self) -> FloatArray:
        """Influence on the sum of the test losses, [n] float64, by one solve a checkpoint."""
        return self._over_rows(self.joint_block)

    def joint_block(self, checkpoint: int, rows: int) -> FloatArray:
        """Influence on the sum of the test losses [r], of one block of training rows at one checkpoint."""
        stage = self.stage(checkpoint)
        return self._scores(stage, self._side(stage, JOINT), slice(rows, self._stop(rows)))[:, 0]

    def _over_rows(self, block: Callable[[int, int], FloatArray]) -> FloatArray:
        total = np.zeros(len(self.train))
        for t in range(len(self.trajectory)):
            for rows in range(0, len(self.train), self.source.block_rows):
                total[rows : self._stop(rows)] += block(t, rows)
        return total

    def groups(self, members: FloatArray) -> FloatArray:
        """Influence of groups [G, n_test], members [G, n]: sums over instances, without the full matrix."""
        total = np.zeros((len(members), len(self.test)))
        for name in self.names():
            part = self.block(name)
            rows = slice(name.rows, name.rows + len(part))
            total[:, name.columns : name.columns + part.shape[1]] += members[:, rows] @ part
        return total

    def strongest(self, count: int, *, opponents: bool = False) -> TopScores:
        """The `count` strongest proponents (or opponents) of each test instance, without the full matrix."""
        parts = (self.rows_block(rows) for rows in range(0, len(self.train), self.stretch))
        return strongest_of(parts, count, opponents=opponents)

    @property
    def stretch(self) -> int:
        """Training rows whose scores are summed over the whole trajectory at once.

        A block, where every checkpoint's test side may be held; else as many blocks as their sums may take, the
        checkpoints in turn for all of them, so that memory does not grow with the trajectory.
        """
        blocks = 1 if self._holds_stages else max(1, SUMS // (len(self.test) * self.source.block_rows))
        return blocks * self.source.block_rows

    @property
    def _holds_stages(self) -> bool:
        return len(self.trajectory) * (self.columns + 1) * self.source.layout.size <= SIDE_FLOATS

    def rows_block(self, rows: int) -> FloatArray:
        """Scores [r, n_test] of a stretch of training rows over the whole trajectory."""
        stop = min(rows + self.stretch, len(self.train))
        scores = np.zeros((stop - rows, len(self.test)))
        for t in range(len(self.trajectory)):
            stage = self._held(t)
            for columns in range(0, len(self.test), self.columns):
                for at in range(rows, stop, self.source.block_rows):
                    part = self._block(stage, BlockName(t, columns, at))
                    scores[at - rows : at - rows + len(part), columns : columns + part.shape[1]] += part
        return scores

    def _held(self, checkpoint: int) -> Stage:
        """The checkpoint made ready, each kept where there is room for all."""
        if not self._holds_stages:
            return self.stage(checkpoint)
        if checkpoint not in self._stages:
            self._stages[checkpoint] = self._made(checkpoint)
        return self._stages[checkpoint]

    def _stop(self, rows: int) -> int:
        return min(rows + self.source.block_rows, len(self.train))

    def stage(self, checkpoint: int) -> Stage:
        """The checkpoint made ready; the last one asked for is kept."""
        if self._stage is None or self._stage[0] != checkpoint:
            self._stage = None
            self._stage = checkpoint, self._made(checkpoint)
        return self._stage[1]

    def _made(self, t: int) -> Stage:
        checkpoint, projector = self.trajectory[t], self._projector(t)
        source = self._loaded(checkpoint, projector)
        last = t == len(self.trajectory) - 1 or self.estimator.test_at == "same"
        curvature = fit_curvature(self.estimator.curvature, source, self.train, self.estimator.options)
        test_source = source if last else self._loaded(self.trajectory[-1], projector)
        return Stage(self.estimator, source, test_source, curvature, checkpoint, len(self.train))

    def _projector(self, t: int) -> Projector | None:
        """The projection of checkpoint t, drawn for itself: then errors over projections add up over checkpoints."""
        own = self.source.projector
        if own is None or t == 0:
            return own
        return self.source.projected(
            replace(own.projection, seed=derive_seed("checkpoint", own.projection.seed, t))
        ).projector

    def _loaded(self, checkpoint: Checkpoint, projector: Projector | None) -> GradientSource:
        objective = replace(self.source.objective, module=copy.deepcopy(self.source.objective.module))
        source = replace(self.source, objective=objective, projector=projector)
        source.load(checkpoint.parameters)
        return source

    def _block(self, stage: Stage, name: BlockName) -> FloatArray:
        return self._scores(stage, self._side(stage, name.columns), slice(name.rows, self._stop(name.rows)))

    def _side(self, stage: Stage, columns: int) -> TestSide:
        if columns not in stage.sides:
            stage.sides.clear()
            chosen = self.test[columns : columns + self.columns]
            stage.sides[columns] = stage.joint_side(self.test) if columns == JOINT else stage.side(chosen)
        self.facts = merged_facts(self.facts, stage.sides[columns].facts)
        return stage.sides[columns]

    def _scores(self, stage: Stage, side: TestSide, rows: slice) -> FloatArray:
        """Scores [r, c] of a stretch of training rows; those that do not count at this checkpoint get 0."""
        return self._scores_at(stage, side, np.arange(rows.start, rows.stop))

    def _scores_at(self, stage: Stage, side: TestSide, positions: IntArray) -> FloatArray:
        counting = self._counting(stage, positions)
        scores = np.zeros((len(positions), side.width))
        if counting.any():
            rotated, factors = stage.train_block(self.train[_index(positions[counting])])
            found: FloatArray = side.scores(rotated).mul_(factors[:, None]).cpu().numpy()
            if counting.all():
                return found
            scores[counting] = found
        return scores

    def _counting(self, stage: Stage, positions: IntArray) -> BoolArray:
        """Which of the training instances count at this checkpoint."""
        if self.estimator.weights != "batch" or stage.checkpoint.batch is None:
            return np.ones(len(positions), dtype=np.bool_)
        return np.isin(positions, stage.checkpoint.batch.cpu().numpy())


def _index(positions: IntArray) -> slice | torch.Tensor:
    """A slice where the positions are a stretch, which copies nothing."""
    if bool((np.diff(positions) == 1).all()):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return torch.from_numpy(positions)
