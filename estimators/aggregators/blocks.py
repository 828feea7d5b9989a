"""A stream of retrains through an aggregator, in fixed blocks of 256 rows.

Floating-point sums depend on how they are grouped. Whatever the chunks of the store, rows are grouped anew here, and
aggregators take 128 columns at a time on one BLAS thread, so the same rows in the same order give the same bits.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from estimators.aggregators.protocol import Aggregator, TwoPass
from estimators.aggregators.welch import ROWS_PER_BLOCK
from estimators.retrains import Retrains, joined

State = TypeVar("State")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Again:
    """Rows that can be gone through more than once: `stream` begins them anew."""

    stream: Callable[[], Iterator[Retrains]]

    def __iter__(self) -> Iterator[Retrains]:
        """The rows from the first on."""
        return self.stream()


def aggregate(aggregator: Aggregator[State, Result], retrains: Iterable[Retrains]) -> Result:
    """What the aggregator makes of all retrains, the same bits however the stream is cut.

    An aggregator of two passes goes through `retrains` twice, which then must not be an iterator that ends.
    """
    if isinstance(aggregator, TwoPass):
        if iter(retrains) is retrains:
            raise TypeError("this value goes through the rows twice: give it rows that can be gone through again")
        aggregator = aggregator.second(_state_of(aggregator, retrains))
    return aggregator.finish(_state_of(aggregator, retrains))


def _state_of(aggregator: Aggregator[State, Result], retrains: Iterable[Retrains]) -> State:
    state = aggregator.empty()
    for block in blocks_of_rows(retrains):
        state = aggregator.update(state, block)
    return state


def blocks_of_rows(retrains: Iterable[Retrains], rows: int = ROWS_PER_BLOCK) -> Iterator[Retrains]:
    """The same rows in the same order, `rows` at a time; the last block may be shorter.

    A unit is never cut: a block that would end within one goes on to its end.
    """
    waiting: list[Retrains] = []
    count = 0
    for part in retrains:
        waiting.append(part)
        count += len(part.members)
        if count < rows:
            continue
        whole = joined(waiting)
        start = 0
        for stop in _ends_of_blocks(whole, rows):
            yield whole.rows(slice(start, stop))
            start = stop
        waiting, count = [whole.rows(slice(start, None))], count - start
    if count:
        yield joined(waiting)


def _ends_of_blocks(whole: Retrains, rows: int) -> Iterator[int]:
    """Where blocks end in `whole`, whose last unit may go on beyond it."""
    count = len(whole.members)
    if whole.units is None:
        yield from range(rows, count + 1, rows)
        return
    starts = np.flatnonzero(np.diff(whole.units)) + 1  # of units, but the first
    start = 0
    while start + rows < count:
        place = np.searchsorted(starts, start + rows)
        if place == len(starts):
            return
        start = int(starts[place])
        yield start
