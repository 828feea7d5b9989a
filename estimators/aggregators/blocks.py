"""A stream of retrains through an aggregator, in fixed blocks of 256 rows.

Floating-point sums depend on how they are grouped. Whatever the chunks of the store, rows are grouped anew here, and
aggregators take 128 columns at a time on one BLAS thread, so the same rows in the same order give the same bits.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.welch import ROWS_PER_BLOCK
from estimators.retrains import Retrains

State = TypeVar("State")
Result = TypeVar("Result")


def aggregate(aggregator: Aggregator[State, Result], retrains: Iterable[Retrains]) -> Result:
    """What the aggregator makes of all retrains, the same bits however the stream is cut."""
    state = aggregator.empty()
    for block in blocks_of_rows(retrains):
        state = aggregator.update(state, block)
    return aggregator.finish(state)


def blocks_of_rows(retrains: Iterable[Retrains], rows: int = ROWS_PER_BLOCK) -> Iterator[Retrains]:
    """The same rows in the same order, `rows` at a time; the last block may be shorter."""
    waiting: list[Retrains] = []
    count = 0
    for part in retrains:
        waiting.append(part)
        count += len(part.members)
        if count < rows:
            continue
        joined = _joined(waiting)
        whole = count - count % rows
        for start in range(0, whole, rows):
            yield _rows(joined, start, start + rows)
        waiting, count = [_rows(joined, whole, count)], count - whole
    if count:
        yield _joined(waiting)


def _joined(parts: list[Retrains]) -> Retrains:
    train = [part.train_losses for part in parts if part.train_losses is not None]
    return Retrains(
        members=np.concatenate([part.members for part in parts]),
        losses=np.concatenate([part.losses for part in parts]),
        train_losses=np.concatenate(train) if len(train) == len(parts) else None,
    )


def _rows(part: Retrains, start: int, stop: int) -> Retrains:
    train = None if part.train_losses is None else part.train_losses[start:stop]
    return Retrains(part.members[start:stop], part.losses[start:stop], train)
