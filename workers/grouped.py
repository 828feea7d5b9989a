"""Groups as players: a learner over rows, seen as a learner over groups."""

from dataclasses import dataclass, replace

import numpy as np

from estimators.arrays import BoolArray, Float32Array, FloatArray, IntArray, SeedArray
from workers.checkpointing import GroupCheckpoints, resuming
from workers.errors import LearnerError
from workers.keeping import ModelKeeper, Models, keeper_of
from workers.learner import Learner, LearnerTraits, Losses


@dataclass(frozen=True, slots=True)
class GroupedLearner:
    """Trains on all rows of the groups that are members; train losses are means over a group's rows.

    rows: the learner over training rows. groups: [n_rows], the group of each row. sizes: [n], rows of each group.
    """

    rows: Learner
    groups: IntArray
    sizes: FloatArray

    @property
    def n(self) -> int:
        """Number of groups."""
        return len(self.sizes)

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return self.rows.n_test

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses returned."""
        return self.rows.losses

    @property
    def traits(self) -> LearnerTraits:
        """What the learner over rows declares of itself."""
        return self.rows.traits

    @property
    def numeric_class(self) -> str:
        """That of the learner over rows."""
        return self.rows.numeric_class

    @property
    def together(self) -> int:
        """K of the learner over rows."""
        return self.rows.together

    def with_together(self, together: int) -> "GroupedLearner":
        """The same over the learner with another K."""
        return replace(self, rows=self.rows.with_together(together))

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of K retrains on members [K, n] groups; train losses [K, n]."""
        return self._of_groups(self.rows.retrain(members[:, self.groups], seeds))

    def resuming(self, checkpoints: GroupCheckpoints) -> "GroupedLearner":
        """The same over the learner with checkpoints; raises LearnerError where that one cannot go on from any."""
        return replace(self, rows=resuming(self.rows, checkpoints))

    def _of_groups(self, found: Losses) -> Losses:
        if found.train is None:
            return found
        return Losses(test=found.test, train={name: self._means(losses) for name, losses in found.train.items()})

    def _means(self, losses: Float32Array) -> Float32Array:
        # one row at a time, so that no row's bits depend on the others
        sums = [np.bincount(self.groups, weights=row, minlength=self.n) for row in losses.astype(np.float64)]
        means: FloatArray = np.stack(sums) / self.sizes if sums else np.empty((0, self.n))
        return means.astype(np.float32)


@dataclass(frozen=True, slots=True)
class GroupedKeeper(GroupedLearner):
    """The same over a learner whose models can be kept (`workers.keeping`)."""

    def trained(self, members: BoolArray, seeds: SeedArray) -> Models:
        """Models of K retrains on members [K, n] groups."""
        return keeper_of(self.rows).trained(members[:, self.groups], seeds)

    def losses_of(self, models: Models) -> Losses:
        """Losses of K models; train losses [K, n] are means over groups."""
        return self._of_groups(keeper_of(self.rows).losses_of(models))


def grouped_learner(rows: Learner, groups: IntArray) -> GroupedLearner:
    """The learner over groups 0 .. max. Raises LearnerError where rows do not match, or a group has no row."""
    sizes = np.bincount(groups)
    if len(groups) != rows.n or not sizes.all():
        raise LearnerError(
            f"data.group: {len(groups)} rows in {len(sizes)} groups, of which {int((sizes == 0).sum())} are empty, for"
            f" a learner of {rows.n} rows; every row needs a group and every group a row"
        )
    kind = GroupedKeeper if isinstance(rows, ModelKeeper) else GroupedLearner
    return kind(rows, groups, sizes.astype(np.float64))
