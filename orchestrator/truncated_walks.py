"""Walks that stop on losses seen: which of their planned prefixes are in effect, and the chunks that train them.

Where a walk stopped is stored nowhere: it follows from the stored losses of its prefixes, of D and of the empty subset.
"""

from collections.abc import Iterator

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.permutation import Permutation
from estimators.designs.stopping import StopRule, mean_losses, stop_of, stop_rule, truncated_walks
from estimators.seeding import retrain_seeds
from estimators.subsets import pack
from orchestrator.plan import Plan, PlanRows, RowId
from orchestrator.store.loss_store import LossStore
from workers.outcomes import PrefixTask
from workers.prefixes import Prefixes


class TruncatedWalks:
    """The walks of a plan as far as the store knows them; v(D) and v(empty) must be stored."""

    def __init__(self, plan: Plan, store: LossStore, walks: Permutation, *, loss: str, rule: StopRule) -> None:
        self.walk_rows, self.loss, self.rule = walks.walk_rows, loss, rule
        self._plan, self._store = plan, store
        self._stops: dict[int, int] = {}

    def stop(self, walk: int) -> int | None:
        """How many prefixes the walk has, None while its stored prefixes do not end it."""
        if walk not in self._stops:
            means, missing = self._means(walk)
            known = int(missing[0]) if len(missing) else self.walk_rows
            stop = stop_of(self.rule, means[:known])
            if stop is None and known < self.walk_rows:
                return None
            self._stops[walk] = self.walk_rows if stop is None else stop
        return self._stops[walk]

    def in_effect(self, draws: IntArray) -> BoolArray:
        """Which of the draws [K] stand before their walk's stop; all of a walk that has not ended yet."""
        walks, places = np.divmod(draws, self.walk_rows)
        stops = {walk: self.stop(walk) for walk in np.unique(walks).tolist()}
        ends = np.array([stops[walk] or self.walk_rows for walk in walks.tolist()])
        before: BoolArray = places < ends
        return before

    def gap(self, draws: int) -> tuple[int, float, float]:
        """Of the walks in the first draws: how many were cut, mean prefixes of all, mean L(stop) - L(D) of those."""
        walks = range(draws // self.walk_rows)
        ends = [self.stop(walk) or self.walk_rows for walk in walks]
        cut = [(walk, end) for walk, end in zip(walks, ends, strict=True) if end < self.walk_rows]
        gaps = [self._means(walk)[0][end - 1] - self.rule.reference for walk, end in cut]
        return len(cut), float(np.mean(ends)) if ends else 0.0, float(np.mean(gaps)) if gaps else 0.0

    def tasks(self, draws: int) -> Iterator[PrefixTask]:
        """Chunks of the walks among the first draws that have not ended, each prefix that is missing once."""
        facts = self._plan.facts
        first, together = 1 + (self._plan.ends - 1) // facts.chunk_rows, facts.chunk_rows // self.walk_rows
        taken: set[RowId] = set()
        walks = draws // self.walk_rows
        for number, start in enumerate(range(0, walks, together)):
            open_walks = [walk for walk in range(start, min(start + together, walks)) if self.stop(walk) is None]
            task = self._task(first + number, open_walks, taken) if open_walks else None
            if task is not None:
                yield task

    def _task(self, chunk: int, walks: list[int], taken: set[RowId]) -> PrefixTask | None:
        """The chunk of these walks. taken: rows of earlier chunks, which a walk that shares them takes for unknown."""
        rows = np.full((len(walks), self.walk_rows), -1, dtype=np.int64)
        means = np.full(rows.shape, np.nan)
        places: dict[RowId, int] = {}
        members = []
        for place, walk in enumerate(walks):
            found = self._rows(walk)
            means[place], missing = self._means(walk)
            for position in missing.tolist():
                row = found.ids[position]
                if row in taken:
                    continue
                if row not in places:
                    places[row] = len(places)
                    members.append(found.members[position])
                rows[place, position] = places[row]
        taken.update(places)
        if not places:
            return None
        keys = [row.key for row in places]
        replicates = np.array([row.replicate for row in places], dtype=np.int64)
        return PrefixTask(
            campaign=self._plan.facts.campaign,
            chunk=chunk,
            members=pack(np.stack(members)),
            keys=tuple(keys),
            seeds=retrain_seeds(self._plan.facts.learner_seed, keys, replicates),
            replicates=replicates,
            together=self._plan.facts.together,
            prefixes=Prefixes(self.rule, self.loss, rows, means),
        )

    def _rows(self, walk: int) -> PlanRows:
        return self._plan.draw_rows(walk * self.walk_rows, (walk + 1) * self.walk_rows)

    def _means(self, walk: int) -> tuple[FloatArray, IntArray]:
        """Mean losses [n - 1] of the walk's prefixes, NaN where not stored or failed, and the places not stored."""
        ids = self._rows(walk).ids
        missing = np.array(self._store.missing(ids), dtype=np.int64)
        stored = np.setdiff1d(np.arange(self.walk_rows), missing)
        means = np.full(self.walk_rows, np.nan)
        if len(stored):
            means[stored] = mean_losses(self._store.read([ids[place] for place in stored], self.loss).losses)
        return means, missing


def open_walks(plan: Plan, store: LossStore) -> TruncatedWalks | None:
    """The truncated walks of a plan; None where it has none, or where v(D) or v(empty) are not stored yet."""
    walks = truncated_walks(plan.design)
    if walks is None or walks.truncation is None:
        return None
    rows = plan.end_rows()
    if store.missing(rows.ids):
        return None
    loss = walks.truncation.loss or plan.facts.losses[0]
    found = store.read(rows.ids, loss)
    trained = ~found.failed
    full, empty = found.losses[:-1][trained[:-1]], found.losses[-1]
    if not len(full) or not trained[-1]:
        return None
    return TruncatedWalks(plan, store, walks, loss=loss, rule=stop_rule(walks.truncation, full, empty))
