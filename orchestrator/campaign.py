"""A campaign as its readers see it: a plan, the store that holds its rows, and values computed from them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from estimators.aggregators.protocol import Aggregator
from estimators.arrays import IntArray
from estimators.errors import EstimatorError
from estimators.influence import Influence, InstanceValues
from estimators.methods.value_label import asked_label
from estimators.registry import VALUES, ValueMethod, value_method
from estimators.retrains import EndRows, Retrains
from orchestrator.data.axes import NO_AXES, Axes
from orchestrator.errors import FailedRetrains
from orchestrator.influences.work import InfluencePool, worked_out
from orchestrator.loss_view import LossView, loss_view
from orchestrator.plan import Plan, PlanRows, RowId
from orchestrator.store.loss_store import LossStore
from orchestrator.store.walking_store import WalkingStore
from orchestrator.truncated_walks import open_walks


@dataclass(frozen=True)
class Campaign:
    """A design carried out with a learner.

    name: what the job calls it. losses: the losses kept, the first is the default. deterministic: the learner's
    losses do not depend on the seed. has_train_losses: losses on the training instances are kept too. asked: draws
    that the budget asks for, where the plan is cut at those that are stored so far. axes: what tests may be averaged
    over.
    """

    name: str
    plan: Plan
    store: LossStore
    losses: tuple[str, ...]
    deterministic: bool
    has_train_losses: bool
    asked: int | None = None
    axes: Axes = NO_AXES

    @property
    def id(self) -> str:
        """The campaign's id in the store."""
        return self.plan.facts.campaign

    @cached_property
    def value_names(self) -> tuple[str, ...]:
        """Values that this campaign's design and losses permit, without those that are computed by request only."""
        return tuple(name for name, method in VALUES.items() if not method.by_request and not self.why_not(name))

    def why_not(self, value: str) -> str:
        """Why a value cannot be computed from this campaign, or an empty text."""
        method = value_method(value)
        if method.needs_train_losses and not self.has_train_losses:
            return f"{value} needs losses on the training instances: set `train_losses: true` in the learner"
        return method.accepts(self.plan.design, self.plan.draws)

    def values(
        self,
        value: str,
        *,
        loss: str | None = None,
        of: str | None = None,
        over: str | None = None,
        draws: int | None = None,
        pool: InfluencePool | None = None,
    ) -> Influence | InstanceValues:
        """A value with standard errors from the stored losses of the first `draws` draws (default: all).

        loss: one of those kept, else the first. of: a function of the losses kept, over: an average over tests, which
        may stand in `value` too (`banzhaf of clip(cross_entropy, 0.5) over class`). pool: where an influence is worked
        out (default: in this process); the bits are the same.
        Rows that failed are left out, with a note. Raises EstimatorError where the design does not permit the
        value or the loss is not kept, StoreRefused where rows are missing.
        """
        reason = self.why_not(value)
        if reason:
            raise EstimatorError(reason)
        method, view = value_method(value), self.view(value, loss=loss, of=of, over=over)
        count = self.plan.draws if draws is None else draws
        if method.from_walks:
            if not view.is_plain:
                raise EstimatorError(
                    f"{value} is read off walks, which keep losses as they are: leave `of` and `over` out"
                )
            aggregator = method.make(loss=view.label, ends=view.ends(), design=self.plan.design)
            return self._labelled(self._of_walks(aggregator, view.label, count), method, count)
        result = worked_out(method, view, self.plan.design, count, pool)
        return self._labelled(replace(result, notes=(*view.average.note(), *result.notes)), method, count)

    def view(self, value: str, *, loss: str | None = None, of: str | None = None, over: str | None = None) -> LossView:
        """The losses that a value is asked on. Raises EstimatorError for a function or an average that cannot be."""
        asked = asked_label(value)
        of, over = of or asked.of, over or asked.over
        if value_method(value).needs_train_losses and over not in {None, "each"}:
            raise EstimatorError(f"{asked.value} is of an instance's own loss: it has no tests to average over")
        return loss_view(self, loss=None if asked.of else loss, of=of, over=over)

    def _of_walks(self, aggregator: Aggregator[Any, Any], loss: str, draws: int) -> Influence | InstanceValues:
        """What the aggregator makes of the first walks, one after the other."""
        state = aggregator.empty()
        for rows in self.plan.blocks_of_draws(0, draws):
            for walk in self.store.walks(rows.ids, loss) if isinstance(self.store, WalkingStore) else ():
                state = aggregator.update(state, walk)
        result: Influence | InstanceValues = aggregator.finish(state)
        return result

    def _labelled(
        self, result: Influence | InstanceValues, method: ValueMethod, draws: int
    ) -> Influence | InstanceValues:
        failed = len(self.store.failed(self.row_ids(draws)))
        notes = (*result.notes, *self._remarks(draws))
        if failed:
            notes = (*notes, f"{failed} of {draws} retrains failed and are left out")
        if isinstance(result, Influence) and not method.per_instance:
            return replace(result, notes=notes, sources=frozenset({f"{self.id} draws 0 to {draws}"}))
        return replace(result, notes=notes)

    def _remarks(self, draws: int) -> list[str]:
        """What a reader of values from the first `draws` draws has to know of the rows behind them."""
        remarks = []
        if self.asked is not None and draws < self.asked:
            remarks.append(f"not finished: {draws:,} of {self.asked:,} draws of {self.name} are stored so far")
        walks = open_walks(self.plan, self.store)
        if walks is not None:
            cut, length, gap = walks.gap(draws)
            remarks.append(
                f"{cut:,} of {draws // walks.walk_rows:,} walks were truncated ({length:.1f} of {walks.walk_rows:,} "
                f"prefixes on average) within {walks.rule.bound:.3g} of the mean {walks.loss} of D: what their later "
                f"instances would have added, {gap:.3g} a walk in all, counts as 0 and may bias values by as much"
            )
        classes = self.store.facts().numeric_classes
        if len(classes) > 1:
            remarks.append(
                f"the store's retrains are of {len(classes)} numeric classes ({'; '.join(classes)}): "
                "rows of different ones agree to rounding, not to the bit"
            )
        if any("stored in float16" in each for each in classes):
            remarks.append("losses are stored in float16: each is rounded by up to 0.05 %")
        return remarks

    @property
    def n_test(self) -> int:
        """Number of tests."""
        return self.store.n_test

    def ends(self, loss: str, *, with_train: bool = False) -> EndRows:
        """The end rows: losses of D's replicates and of the empty subset."""
        rows = self.plan.end_rows()
        stored = self._read(rows, loss, with_train=with_train)
        trained = np.flatnonzero(np.isfinite(stored.losses).all(axis=1))
        stored = stored.rows(trained)
        full = stored.members.all(axis=1)
        if not full.any() or full.all():
            what = "every retrain of the whole training set" if not full.any() else "the retrain of the empty subset"
            reason = next(iter(self.store.failed(rows.ids).values()), "")
            raise FailedRetrains(
                f"campaign {self.name}: {what} failed: {reason}", mend="mend the learner and run again"
            )
        losses = stored.losses.astype(np.float64)
        train = None if stored.train_losses is None else stored.train_losses.astype(np.float64)
        return EndRows(
            full=losses[full],
            empty=losses[~full][0],
            deterministic=self.deterministic,
            full_train=None if train is None else train[full],
            empty_train=None if train is None else train[~full][0],
        )

    def retrains(self, loss: str, start: int, stop: int, *, with_train: bool = False) -> Iterator[Retrains]:
        """Draws start..stop-1 in plan order, by blocks of at most 256.

        Units with a failed row are left out, and so are prefixes beyond the stop of a truncated walk.
        """
        failed = self._failed_units(start, stop)
        for rows, draws in self._blocks(start, stop):
            units = draws // self.plan.design.unit_rows
            found = replace(self._read(rows, loss, with_train=with_train), draws=draws, units=units)
            yield found.rows(~np.isin(units, failed)) if len(failed) else found

    def row_ids(self, draws: int | None = None) -> list[RowId]:
        """Row names of the end rows and of the draws in effect (the first `draws`), in plan order, repeats kept."""
        count = self.plan.draws if draws is None else draws
        drawn = [row for rows, _ in self._blocks(0, count) for row in rows.ids]
        return [*self.plan.end_rows().ids, *drawn]

    def missing(self, draws: int | None = None) -> set[RowId]:
        """Rows in effect that are neither stored nor recorded as failed."""
        rows = self.row_ids(draws)
        return {rows[place] for place in self.store.missing(rows)}

    def complete_prefix(self, start: int = 0) -> int:
        """How many draws from the first on are all in the store, stored or failed, in whole units.

        start: looking on from this draw.
        """
        for rows, draws in self._blocks(start, self.plan.draws):
            missing = self.store.missing(rows.ids)
            if missing:
                first = int(draws[missing[0]])
                return first - first % self.plan.design.unit_rows
        return self.plan.draws

    def _blocks(self, start: int, stop: int) -> Iterator[tuple[PlanRows, IntArray]]:
        """Draws start..stop-1 that are in effect, with their numbers, by blocks of at most 256."""
        walks = open_walks(self.plan, self.store)
        for rows in self.plan.blocks_of_draws(start, stop):
            first = rows.start - self.plan.ends
            draws = np.arange(first, first + len(rows.keys))
            if walks is None:
                yield rows, draws
            else:
                kept = np.flatnonzero(walks.in_effect(draws))
                yield rows.part(kept), draws[kept]

    def _failed_units(self, start: int, stop: int) -> IntArray:
        blocks = list(self._blocks(start, stop))
        draws = np.concatenate([draws for _, draws in blocks]) if blocks else np.zeros(0, dtype=np.int64)
        failed = self.store.failed([row for rows, _ in blocks for row in rows.ids])
        return draws[sorted(failed)] // self.plan.design.unit_rows

    def _read(self, rows: PlanRows, loss: str, *, with_train: bool) -> Retrains:
        """Losses of all rows; those of failed ones are NaN."""
        stored = self.store.read(rows.ids, loss, with_train=with_train)
        return Retrains(rows.members, stored.losses, stored.train_losses)
