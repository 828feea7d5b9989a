"""A stream of retrains through an aggregator, in fixed blocks of 256 rows.

Floating-point sums depend on how they are grouped. Whatever the chunks of the store, rows are grouped anew here, and
aggregators take 128 columns at a time on one BLAS thread, so the same rows in the same order give the same bits.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
    return aggregate_each([aggregator], [lambda rows: rows], retrains)[0]


def aggregate_each(
    aggregators: Sequence[Aggregator[State, Result]],
    views: Sequence[Callable[[Retrains], Retrains]],
    retrains: Iterable[Retrains],
) -> list[Result]:
    """What each aggregator makes of all retrains as its view shows them, in one go through the rows (or two)."""
    if any(isinstance(each, TwoPass) for each in aggregators):
        if iter(retrains) is retrains:
            raise TypeError("this value goes through the rows twice: give it rows that can be gone through again")
        states = _states_of(aggregators, views, retrains)
        aggregators = [
            each.second(state) if isinstance(each, TwoPass) else each
            for each, state in zip(aggregators, states, strict=True)
        ]
    states = _states_of(aggregators, views, retrains)
    return [each.finish(state) for each, state in zip(aggregators, states, strict=True)]


def _states_of(
    aggregators: Sequence[Aggregator[State, Result]],
    views: Sequence[Callable[[Retrains], Retrains]],
    retrains: Iterable[Retrains],
) -> list[State]:
    states = [each.empty() for each in aggregators]
    for block in blocks_of_rows(retrains):
        for place, (each, view) in enumerate(zip(aggregators, views, strict=True)):
            states[place] = each.update(states[place], view(block))
    return states


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
