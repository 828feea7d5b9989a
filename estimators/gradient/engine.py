"""The one engine of gradient estimators: for each checkpoint the test side once, then training blocks."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.errors import EstimatorError
from estimators.gradient.fitting import fit_curvature
from estimators.gradient.objective import Instances
from estimators.gradient.record import Estimator
from estimators.gradient.source import GradientSource
from estimators.gradient.stage import SIDE_FLOATS, Stage, TestSide
from estimators.gradient.trajectory import Checkpoint, Trajectory


class BlockName(NamedTuple):
    """One piece of work: training rows [rows, rows + r) against tests [columns, columns + c) at one checkpoint."""

    checkpoint: int
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class TopScores:
    """The strongest training instances of each test instance. indices, values: [k, n_test], strongest first."""

    indices: IntArray
    values: FloatArray


class Engine:
    """An estimator on training and test instances along a trajectory. Values are + for proponents, [n, n_test].

    A block depends on its name alone, so blocks may be computed anywhere, in any order, again. Memory: the result, one
    block, and the test side of one checkpoint. Methods that rank without the full matrix hold every checkpoint's test
    side instead.

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

    def values(self) -> FloatArray:
        """Influence [n, n_test] float64."""
        total = np.zeros((len(self.train), len(self.test)))
        for name in self.names():
            part = self.block(name)
            rows, columns = slice(name.rows, name.rows + len(part)), slice(name.columns, name.columns + part.shape[1])
            total[rows, columns] += part
        return total

    def values_of(self, rows: torch.Tensor) -> FloatArray:
        """Influence [r, n_test] of the training instances at positions `rows` only; curvatures are fitted on all."""
        total = np.zeros((len(rows), len(self.test)))
        for t in range(len(self.trajectory)):
            for columns in range(0, len(self.test), self.columns):
                side = self._side(self.stage(t), columns)
                for at in range(0, len(rows), self.source.block_rows):
                    part = rows[at : at + self.source.block_rows]
                    found = self._scores_at(self.stage(t), side, part.numpy())
                    total[at : at + len(part), columns : columns + found.shape[1]] += found
        return total

    def self_influence(self, *, mirror: Instances | None = None) -> FloatArray:
        """Each training instance's influence on its own loss, [n] float64: the diagonal, without the matrix.

        mirror: the training instances with noise of their own, for the other side: with the same draws on both sides
        of a loss over noise, the square of a mean is too large by its variance.
        """
        total = np.zeros(len(self.train))
        for t in range(len(self.trajectory)):
            stage = self.stage(t)
            for start in range(0, len(self.train), self.source.block_rows):
                rows = np.arange(start, min(start + self.source.block_rows, len(self.train)))
                rows = rows[self._counting(stage, rows)]
                if len(rows):
                    total[rows] += (
                        stage.self_scores(self.train[_index(rows)], None if mirror is None else mirror[_index(rows)])
                        .cpu()
                        .numpy()
                    )
        return total

    def joint(self) -> FloatArray:
        """Influence on the sum of the test losses, [n] float64, by one solve a checkpoint."""
        total = np.zeros(len(self.train))
        for t in range(len(self.trajectory)):
            stage = self.stage(t)
            side = stage.joint_side(self.test)
            for start in range(0, len(self.train), self.source.block_rows):
                part = slice(start, min(start + self.source.block_rows, len(self.train)))
                total[part] += self._scores(stage, side, part)[:, 0]
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
        sign = -1.0 if opponents else 1.0
        stages = [self._made(t) for t in range(len(self.trajectory))]
        best = np.full((0, len(self.test)), -np.inf)
        index = np.zeros((0, len(self.test)), dtype=np.int64)
        for rows in range(0, len(self.train), self.source.block_rows):
            scores = sign * self._row_block(stages, rows)
            here = np.broadcast_to(np.arange(rows, rows + len(scores))[:, None], scores.shape)
            best, index = _merged(np.concatenate([best, scores]), np.concatenate([index, here]), count)
        return TopScores(index, sign * best)

    def _row_block(self, stages: Sequence[Stage], rows: int) -> FloatArray:
        names = [
            BlockName(t, columns, rows)
            for t in range(len(stages))
            for columns in range(0, len(self.test), self.columns)
        ]
        width = min(self.source.block_rows, len(self.train) - rows)
        scores = np.zeros((width, len(self.test)))
        for name in names:
            part = self._block(stages[name.checkpoint], name)
            scores[:, name.columns : name.columns + part.shape[1]] += part
        return scores

    def stage(self, checkpoint: int) -> Stage:
        """The checkpoint made ready; the last one asked for is kept."""
        if self._stage is None or self._stage[0] != checkpoint:
            self._stage = None
            self._stage = checkpoint, self._made(checkpoint)
        return self._stage[1]

    def _made(self, t: int) -> Stage:
        checkpoint = self.trajectory[t]
        source = self._loaded(checkpoint)
        last = t == len(self.trajectory) - 1 or self.estimator.test_at == "same"
        curvature = fit_curvature(self.estimator.curvature, source, self.train, self.estimator.options)
        test_source = source if last else self._loaded(self.trajectory[-1])
        return Stage(self.estimator, source, test_source, curvature, checkpoint, len(self.train))

    def _loaded(self, checkpoint: Checkpoint) -> GradientSource:
        objective = replace(self.source.objective, module=copy.deepcopy(self.source.objective.module))
        source = replace(self.source, objective=objective)
        source.load(checkpoint.parameters)
        return source

    def _block(self, stage: Stage, name: BlockName) -> FloatArray:
        stop = min(name.rows + self.source.block_rows, len(self.train))
        return self._scores(stage, self._side(stage, name.columns), slice(name.rows, stop))

    def _side(self, stage: Stage, columns: int) -> TestSide:
        if columns not in stage.sides:
            stage.sides.clear()
            stage.sides[columns] = stage.side(self.test[columns : columns + self.columns])
            self.facts.update(stage.curvature.facts)
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


def _merged(scores: FloatArray, index: IntArray, count: int) -> tuple[FloatArray, IntArray]:
    """The `count` largest of each column, largest first; equal scores in the order of the training set."""
    order = np.argsort(-scores, axis=0, kind="stable")[:count]
    return np.take_along_axis(scores, order, axis=0), np.take_along_axis(index, order, axis=0)
