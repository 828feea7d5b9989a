"""Test instances a block at a time: what one block takes of the rows, and how blocks become one influence.

A value of a test instance is a function of its own column of losses and of what all columns share: the subsets, and
for some values a few guide columns by which an estimator decides for all (`ValueMethod.guided`). So a block of test
instances with these beside it can be worked out anywhere. Blocks begin at multiples of 128 columns, of which products
are taken 128 at a time: a column has the same bits whatever the block that it is worked out in.

Beside its tests a block holds its tail: where the value is guided three tests and the mean over all tests, which
guide; else nothing, or in the last block the mean. The data values are those of the mean in the last block's tail.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from estimators.aggregators.columns import COLUMNS_PER_BLOCK, guide_tests, with_mean
from estimators.aggregators.notes import per_test_notes
from estimators.arrays import AnyArray, FloatArray
from estimators.errors import WrongDesign
from estimators.influence import Influence, InstanceValues, Statistics
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class ColumnBlock:
    """Test instances start..stop-1 of n_test; guided: whether the value asked for decides by guides."""

    start: int
    stop: int
    n_test: int
    guided: bool

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


def blocks_of_tests(n_test: int, *, width: int, guided: bool) -> list[ColumnBlock]:
    """All test instances in blocks of `width`, made a multiple of 128."""
    width = max(1, width // COLUMNS_PER_BLOCK) * COLUMNS_PER_BLOCK
    return [ColumnBlock(start, min(start + width, n_test), n_test, guided) for start in range(0, n_test, width)]


def joined_influence(blocks: Sequence[ColumnBlock], found: Iterable[tuple[int, Influence]]) -> Influence:
    """The influence on all test instances from that of each block, given with the block's place in whatever order."""
    parts: dict[int, Influence] = {}
    whole: _Arrays | None = None
    for place, each in found:
        if whole is None and len(blocks) > 1:
            whole = _Arrays.empty(len(each.train_index), blocks[-1].n_test)
        parts[place] = each if whole is None else whole.taken(blocks[place], each)
    last, end = parts[len(blocks) - 1], blocks[-1]
    n, ordered = len(last.train_index), [parts[place] for place in range(len(blocks))]
    per_test = {
        name: np.concatenate([each.per_test[name][: block.width] for block, each in zip(blocks, ordered, strict=True)])
        for name in last.per_test
    }
    own = per_test_notes(last.per_test, n)
    notes = tuple(note for note in last.notes if note not in own) + per_test_notes(per_test, n)
    statistics = [each.statistics for each in ordered if each.statistics is not None]
    if whole is None:
        whole = _Arrays.of(last, end.width)
    return replace(
        last,
        values=whole.values,
        standard_errors=whole.standard_errors,
        degrees_of_freedom=whole.degrees_of_freedom,
        mean=_mean(last, notes),
        test_index=np.arange(end.n_test),
        notes=notes,
        per_test=per_test,
        statistics=BlockStatistics(tuple(blocks), tuple(statistics)) if len(statistics) == len(blocks) else None,
    )


@dataclass(frozen=True, slots=True)
class _Arrays:
    """An influence's three arrays [n, n_test]."""

    values: FloatArray
    standard_errors: FloatArray
    degrees_of_freedom: FloatArray

    @classmethod
    def empty(cls, n: int, n_test: int) -> "_Arrays":
        """To be filled block by block."""
        return cls(*(np.empty((n, n_test)) for _ in range(3)))

    @classmethod
    def of(cls, found: Influence, width: int) -> "_Arrays":
        """The first `width` columns of an influence: what it has beside the tests is not shown."""
        return cls(found.values[:, :width], found.standard_errors[:, :width], found.degrees_of_freedom[:, :width])

    def taken(self, block: ColumnBlock, found: Influence) -> Influence:
        """Fill in a block's columns; of its own arrays the tail is left."""
        part, names = slice(block.start, block.stop), [each.name for each in fields(self)]
        for name in names:
            getattr(self, name)[:, part] = getattr(found, name)[:, : block.width]
        return replace(found, **{name: getattr(found, name)[:, block.width :].copy() for name in names})


@dataclass(frozen=True, slots=True)
class BlockStatistics:
    """The sums behind the influence of each block."""

    blocks: tuple[ColumnBlock, ...]
    parts: tuple[Statistics, ...]

    def merged(self, other: Statistics) -> Influence:
        """The influence from both sets of retrains; raises WrongDesign where they are not of the same tests."""
        if not isinstance(other, BlockStatistics) or other.blocks != self.blocks:
            raise WrongDesign("influences on other test instances do not add up")
        merged = (a.merged(b) for a, b in zip(self.parts, other.parts, strict=True))
        return joined_influence(self.blocks, enumerate(merged))


def _mean(found: Influence, notes: tuple[str, ...]) -> InstanceValues:
    """The mean over all test instances, the last block's last column, as data values."""
    return replace(
        found.mean,
        values=found.values[:, -1].copy(),
        standard_errors=found.standard_errors[:, -1].copy(),
        degrees_of_freedom=found.degrees_of_freedom[:, -1].copy(),
        notes=notes,
    )
