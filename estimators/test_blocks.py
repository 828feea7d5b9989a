"""Test instances a block at a time: what one block takes of the rows, and how blocks become one influence.

A value of a test instance is a function of its own column of losses and of what all columns share: the subsets, and
for some values a few guide columns by which an estimator decides for all (`ValueMethod.guided`). So a block of test
instances with these beside it can be worked out anywhere. Blocks begin at multiples of 128 columns, of which products
are taken 128 at a time: a column has the same bits whatever the block that it is worked out in.

Beside its tests a block holds its tail: where the value is guided three tests and the mean over all tests, which
guide; else nothing, or in the last block the mean. The data values are those of the mean in the last block's tail.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimators.aggregators.columns import COLUMNS_PER_BLOCK, guide_tests, with_mean
from estimators.aggregators.notes import per_test_notes
from estimators.arrays import AnyArray, FloatArray
from estimators.errors import WrongDesign
from estimators.influence import Influence, InstanceValues, Statistics
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class TestBlock:
    """Test instances start..stop-1 of n_test; guided: whether the value asked for decides by guides."""

    start: int
    stop: int
    n_test: int
    guided: bool

    __test__ = False  # no class of tests

    @property
    def width(self) -> int:
        """How many test instances it has."""
        return self.stop - self.start

    @property
    def is_last(self) -> bool:
        """Whether it ends with the last test instance."""
        return self.stop == self.n_test

    @property
    def guides(self) -> tuple[int, ...]:
        """Places of the guide columns among the block's, the mean over tests as the last; none: it has no guides."""
        count = len(guide_tests(self.n_test)) + 1 if self.guided else 0
        return tuple(range(self.width, self.width + count))

    def with_tail(self, tests: AnyArray, tail: FloatArray) -> AnyArray:
        """The block's columns [K, ...]: losses of its tests [K, width], and what it needs of the tail [K, g + 1]."""
        if self.guided:
            return np.concatenate([tests, tail], axis=1)
        return np.concatenate([tests, tail[:, -1:]], axis=1) if self.is_last else tests

    def of_losses(self, losses: AnyArray) -> AnyArray:
        """The block's columns of losses [K, n_test]."""
        return self.with_tail(losses[:, self.start : self.stop], tail_of(losses))

    def of_rows(self, retrains: Retrains) -> Retrains:
        """The rows with the block's columns."""
        return replace(retrains, losses=self.of_losses(retrains.losses))

    def of_ends(self, ends: EndRows) -> EndRows:
        """The end rows with the block's columns."""
        return replace(ends, full=self.of_losses(ends.full), empty=self.of_losses(ends.empty[None, :])[0])


def tail_of(losses: AnyArray) -> FloatArray:
    """Losses [K, n_test] on the guide tests, and their mean over all tests: [K, g + 1] float64."""
    guides = guide_tests(losses.shape[1])
    mean = with_mean(losses)[:, -1:]
    return np.concatenate([losses[:, guides], mean], axis=1)


def blocks_of_tests(n_test: int, *, width: int, guided: bool) -> list[TestBlock]:
    """All test instances in blocks of `width`, made a multiple of 128."""
    width = max(1, width // COLUMNS_PER_BLOCK) * COLUMNS_PER_BLOCK
    return [TestBlock(start, min(start + width, n_test), n_test, guided) for start in range(0, n_test, width)]


def joined_influence(blocks: Sequence[TestBlock], found: Sequence[Influence]) -> Influence:
    """The influence on all test instances, from that of each block, in their order."""
    last, end = found[-1], blocks[-1]
    place = end.guides[-1] if end.guided else end.width  # of the mean over all tests
    narrow = [slice(block.width) for block in blocks]
    parts = list(zip(narrow, found, strict=True))
    own = per_test_notes(last.per_test, len(last.train_index))
    per_test = {name: np.concatenate([each.per_test[name][part] for part, each in parts]) for name in last.per_test}
    common = tuple(note for note in last.notes if note not in own)
    notes = common + per_test_notes(per_test, len(last.train_index))
    statistics = [each.statistics for each in found]
    values, errors, degrees = (
        np.concatenate([getattr(each, name)[:, part] for part, each in parts], axis=1)
        for name in ("values", "standard_errors", "degrees_of_freedom")
    )
    return replace(
        last,
        values=values,
        standard_errors=errors,
        degrees_of_freedom=degrees,
        mean=_column(last, place, notes),
        test_index=np.arange(end.n_test),
        notes=notes,
        per_test=per_test,
        statistics=None if None in statistics else BlockStatistics(tuple(blocks), tuple(statistics)),  # type: ignore[arg-type]
    )


@dataclass(frozen=True, slots=True)
class BlockStatistics:
    """The sums behind the influence of each block."""

    blocks: tuple[TestBlock, ...]
    parts: tuple[Statistics, ...]

    def merged(self, other: Statistics) -> Influence:
        """The influence from both sets of retrains; raises WrongDesign where they are not of the same tests."""
        if not isinstance(other, BlockStatistics) or other.blocks != self.blocks:
            raise WrongDesign("influences on other test instances do not add up")
        return joined_influence(self.blocks, [a.merged(b) for a, b in zip(self.parts, other.parts, strict=True)])


def _column(found: Influence, place: int, notes: tuple[str, ...]) -> InstanceValues:
    """The values of one column as data values."""
    return replace(
        found.mean,
        values=found.values[:, place].copy(),
        standard_errors=found.standard_errors[:, place].copy(),
        degrees_of_freedom=found.degrees_of_freedom[:, place].copy(),
        notes=notes,
    )
