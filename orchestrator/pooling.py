"""Values from several campaigns at once: their rows under the mixture of their laws."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimators.designs.pooled import Pooled
from estimators.errors import EstimatorError
from estimators.influence import Influence, InstanceValues
from estimators.methods.value_label import asked_label
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains
from orchestrator.campaign import Campaign
from orchestrator.data.axes import Axes
from orchestrator.influences.work import InfluencePool, worked_out
from orchestrator.loss_view import loss_view

ROWS_A_STEP = 256


@dataclass(frozen=True)
class PooledCampaigns:
    """Campaigns of one job whose designs have a law of sizes, in the job's order."""

    campaigns: tuple[Campaign, ...]

    @property
    def design(self) -> Pooled:
        """Their designs as one."""
        parts = tuple(campaign.plan.design for campaign in self.campaigns)
        return Pooled(parts, tuple(campaign.plan.draws for campaign in self.campaigns))

    @property
    def losses(self) -> tuple[str, ...]:
        """Those that all keep."""
        first, *others = self.campaigns
        return tuple(loss for loss in first.losses if all(loss in other.losses for other in others))

    @property
    def axes(self) -> Axes:
        """What tests may be averaged over."""
        return self.campaigns[0].axes

    @property
    def n_test(self) -> int:
        """Number of tests."""
        return self.campaigns[0].n_test

    def ends(self, loss: str, *, with_train: bool = False) -> EndRows:
        """Those of the first: all have the same rows of D and of the empty subset."""
        return self.campaigns[0].ends(loss, with_train=with_train)

    def retrains(self, loss: str, start: int, stop: int, *, with_train: bool = False) -> Iterator[Retrains]:
        """Draws start..stop-1 of the pool: of each campaign its share, all along, so that any part is of the mixture.

        Estimators average blocks of rows, whose weights hold for the mixture only. Units are numbered as they come.
        """
        units = 0
        for number, before, first, last in self._shares(start, stop):
            for block in self.campaigns[number].retrains(loss, first, last, with_train=with_train):
                assert block.draws is not None, "a campaign numbers its rows"
                assert block.units is not None, "a campaign numbers its rows"
                numbers, place = np.unique(block.units, return_inverse=True)
                yield replace(
                    block,
                    draws=block.draws + before,
                    units=place.astype(np.int64) + units,
                )
                units += len(numbers)

    def _shares(self, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
        """Pieces of draws start..stop-1: campaign, draws of those before it, first and last of its own, whole units."""
        spans, before = [], 0
        for number, campaign in enumerate(self.campaigns):
            count = campaign.plan.draws
            first, last = max(start - before, 0), min(stop - before, count)
            if first < last:
                spans.append((number, before, first, last))
            before += count
        steps = max(1, -(-sum(last - first for *_, first, last in spans) // ROWS_A_STEP))
        for step in range(steps):
            for number, before, first, last in spans:
                unit = self.campaigns[number].plan.design.unit_rows
                a, b = (first + (last - first) * each // steps // unit * unit for each in (step, step + 1))
                b = last if step + 1 == steps else b
                if a < b:
                    yield number, before, a, b

    def why_not(self, value: str) -> str:
        """Why a value cannot be computed from the pool, or an empty text."""
        method = value_method(value)
        if method.from_walks:
            return f"{value} is read off walks, which are not pooled"
        if method.needs_train_losses and not all(campaign.has_train_losses for campaign in self.campaigns):
            return f"{value} needs losses on the training instances: set `train_losses: true` in the learner"
        return method.accepts(self.design, sum(campaign.plan.draws for campaign in self.campaigns))

    def values(
        self,
        value: str,
        *,
        loss: str | None = None,
        of: str | None = None,
        over: str | None = None,
        pool: InfluencePool | None = None,
    ) -> Influence | InstanceValues:
        """A value with standard errors from all campaigns; arguments and errors as of `Campaign.values`."""
        reason = self.why_not(value)
        if reason:
            raise EstimatorError(reason)
        method, asked, design = value_method(value), asked_label(value), self.design
        view = loss_view(self, loss=None if asked.of else loss, of=of or asked.of, over=over or asked.over)
        found = worked_out(method, view, design, int(np.sum(design.counts)), pool)
        named = " and ".join(campaign.name for campaign in self.campaigns)
        notes = (f"from {named} together, by the mixture of their laws", *view.average.note(), *found.notes)
        if isinstance(found, Influence):
            sources = frozenset(f"{each.id} draws 0 to {each.plan.draws}" for each in self.campaigns)
            return replace(found, notes=notes, sources=sources)
        return replace(found, notes=notes)


def pooled(campaigns: Sequence[Campaign]) -> PooledCampaigns | None:
    """The campaigns that can be pooled, None where there are less than two."""
    fitting = tuple(campaign for campaign in campaigns if campaign.plan.design.log_size_law() is not None)
    return PooledCampaigns(fitting) if len(fitting) > 1 else None
