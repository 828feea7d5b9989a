"""A value of one block of test instances on a worker: a pure function of the rows that it is sent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from estimators.aggregators.blocks import Again, aggregate
from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.welch import ROWS_PER_BLOCK
from estimators.arrays import AnyArray, ByteArray, FloatArray, IntArray
from estimators.column_blocks import ColumnBlock, tail_of
from estimators.designs.protocol import Design
from estimators.influence import Influence
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains
from estimators.subsets import pack, unpack


@dataclass(frozen=True, slots=True)
class ValueRequest:
    """A value on a loss from the rows of a design; ends: of all test instances."""

    value: str
    loss: str
    design: Design
    ends: EndRows

    def aggregator(self, block: ColumnBlock) -> Aggregator[object, Influence]:
        """The aggregator of a block of test instances."""
        method = value_method(self.value)
        ends = block.of_ends(self.ends)
        return method.make(loss=self.loss, ends=ends, design=self.design, guides=block.guides)


@dataclass(frozen=True, slots=True)
class SharedRows:
    """What all blocks need of a stretch of K rows, sent once. members: packed bits [K, ceil(n/8)].

    tail [K, g + 1]: losses on the guide tests and their mean over all tests. draws, units: as of `Retrains`.
    """

    members: ByteArray
    n: int
    tail: FloatArray
    draws: IntArray | None
    units: IntArray | None

    @classmethod
    def of(cls, retrains: Retrains) -> "SharedRows":
        """Of rows with the losses of all test instances."""
        n = retrains.members.shape[1]
        return cls(pack(retrains.members), n, tail_of(retrains.losses), retrains.draws, retrains.units)

    def retrains(self, tests: AnyArray, block: ColumnBlock) -> Iterator[Retrains]:
        """The rows as a block sees them; tests: losses [K, width] of its own."""
        for start in range(0, len(self.members), ROWS_PER_BLOCK):
            rows = slice(start, start + ROWS_PER_BLOCK)
            yield Retrains(
                members=unpack(self.members[rows], self.n),
                losses=block.with_tail(tests[rows], self.tail[rows]),
                draws=None if self.draws is None else self.draws[rows],
                units=None if self.units is None else self.units[rows],
            )


def block_influence(request: ValueRequest, block: ColumnBlock, *stretches: SharedRows | AnyArray) -> Influence:
    """The influence on a block's tests, without the sums behind it.

    stretches: of each stretch of rows in plan order what all blocks need, then the losses [K, width] of this one.
    """

    def rows() -> Iterator[Retrains]:
        for shared, tests in zip(stretches[::2], stretches[1::2], strict=True):
            assert isinstance(shared, SharedRows)
            assert not isinstance(tests, SharedRows)
            yield from shared.retrains(tests, block)

    return replace(aggregate(request.aggregator(block), Again(rows)), statistics=None)
