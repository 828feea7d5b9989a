"""Truncated walks in a chunk: which prefixes to train next, and where each walk ends.

All walks of a chunk go on side by side, as many prefixes at a time as fill a batch, at most `patience`. What was
trained beyond a stop is an ordinary row of the store; where a walk stopped follows from the losses
(`estimators.designs.stopping`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from estimators.arrays import FloatArray, IntArray
from estimators.designs.stopping import StopRule, stop_of


@dataclass(frozen=True, slots=True)
class Prefixes:
    """The prefixes of a chunk's walks.

    loss: the loss that decides. rows: [walks, n - 1], the row of the chunk that is each prefix, -1 where it is none of
    them. means: [walks, n - 1], mean losses of prefixes that are stored already, NaN where not known.
    """

    rule: StopRule
    loss: str
    rows: IntArray
    means: FloatArray

    def part(self, kept: list[int]) -> "Prefixes":
        """The same for a chunk of some of the rows, renumbered."""
        renumbered = np.full(int(self.rows.max(initial=-1)) + 2, -1, dtype=np.int64)  # the last is for -1
        renumbered[kept] = np.arange(len(kept))
        return replace(self, rows=renumbered[self.rows])


class PrefixGroups:
    """Groups of rows to train, K at a time, until every walk has stopped or has none left.

    Before the next group is asked for, `seen` must be told the mean losses of the last.
    """

    def __init__(self, prefixes: Prefixes, together: int) -> None:
        self._prefixes, self._together = prefixes, together
        self._means = prefixes.means.copy()

    def __iter__(self) -> Iterator[list[int]]:
        """Rows of the chunk, prefix by prefix over all walks that go on."""
        rows, trained = self._prefixes.rows, set[int]()
        alive, place = list(range(len(rows))), 0
        while place < rows.shape[1]:
            alive = [walk for walk in alive if stop_of(self._prefixes.rule, self._means[walk, :place]) is None]
            if not alive:
                return
            ahead = max(1, min(self._together // len(alive), self._prefixes.rule.patience))
            wanted = dict.fromkeys(rows[alive, place : place + ahead].T.ravel().tolist())
            fresh = [row for row in wanted if row >= 0 and row not in trained]
            for start in range(0, len(fresh), self._together):
                yield fresh[start : start + self._together]
            trained.update(fresh)
            place += ahead

    def seen(self, group: list[int], means: FloatArray) -> None:
        """Take in the mean losses of rows just trained."""
        for row, mean in zip(group, means.tolist(), strict=True):
            self._means[self._prefixes.rows == row] = mean
