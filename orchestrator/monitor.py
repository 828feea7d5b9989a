"""What a campaign knows of its values while it runs: statistics over a prefix of its draws.

Each statistic is computed on one loss (the campaign's first, unless told), over all training instances and at most
128 test instances, evenly spaced; signs and rank stability are those of the mean test loss.
"""

from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from estimators.aggregators.blocks import blocks_of_rows
from estimators.arrays import AnyArray
from estimators.designs.protocol import Design
from estimators.evaluation import rank_stability
from estimators.influence import Influence, InstanceValues
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains
from orchestrator.campaign import Campaign
from orchestrator.loss_view import LossView

WATCHED_TESTS = 128


@dataclass(frozen=True, slots=True)
class Convergence:
    """How far a value is known after some draws.

    mean_standard_error: mean over pairs (instance, watched test instance) with a finite error. signs_certain: share
    of instances whose data value has a certain sign (Benjamini-Hochberg at 5 %). rank_stability: rank correlation
    of the data values between the even and the odd units, NaN where it is not defined. data_values: from the first
    `units` units.
    """

    value: str
    loss: str
    draws: int
    mean_standard_error: float
    signs_certain: float
    rank_stability: float
    data_values: InstanceValues
    units: int


class _Watched:
    """One value's running aggregates: the watched columns with the mean as their last, and the mean of each half."""

    def __init__(self, value: str, view: LossView, ends: EndRows, design: Design) -> None:
        method, loss = value_method(value), view.label
        n_test = ends.full.shape[1]
        columns = np.unique(np.linspace(0, n_test - 1, min(n_test, WATCHED_TESTS)).round().astype(np.int64))
        self.value, self.loss, self.view, self.columns = value, loss, view, columns
        full, empty = ends.full.mean(axis=1, keepdims=True), ends.empty.mean(keepdims=True)
        mean = EndRows(full=full, empty=empty, deterministic=ends.deterministic)
        watched = EndRows(
            full=np.concatenate([ends.full[:, columns], full], axis=1),
            empty=np.concatenate([ends.empty[columns], empty]),
            deterministic=ends.deterministic,
        )
        self._aggregators = [method.make(loss=loss, ends=each, design=design) for each in (watched, mean, mean)]
        self._states = [aggregator.empty() for aggregator in self._aggregators]

    def update(self, retrains: Retrains) -> None:
        """Take in a further block."""
        mean = replace(retrains, losses=retrains.losses.mean(axis=1, keepdims=True, dtype=np.float64))
        units = np.arange(len(retrains.members)) if retrains.units is None else retrains.units
        even = units % 2 == 0
        watched = np.concatenate([retrains.losses[:, self.columns], mean.losses], axis=1)
        parts = [replace(retrains, losses=watched), mean.rows(even), mean.rows(~even)]
        for place, (aggregator, part) in enumerate(zip(self._aggregators, parts, strict=True)):
            self._states[place] = aggregator.update(self._states[place], part)

    def convergence(self, draws: int, units: int) -> Convergence:
        """The statistics now."""
        finished = zip(self._aggregators, self._states, strict=True)
        watched, even, odd = (aggregator.finish(state) for aggregator, state in finished)
        mean = _last_column(watched)
        return Convergence(
            value=self.value,
            loss=self.loss,
            draws=draws,
            mean_standard_error=_finite_mean(watched.standard_errors[:, :-1]),
            signs_certain=float(mean.certain().mean()),
            rank_stability=rank_stability(even.data_values().values, odd.data_values().values),
            data_values=mean,
            units=units,
        )


class Monitor:
    """Statistics of a campaign's influences over a growing prefix of its draws.

    The same stops give the same bits: a campaign with `until` advances at fixed counts only.
    """

    def __init__(self, campaign: Campaign, values: tuple[str, ...], *, loss: str | None = None) -> None:
        self.campaign = campaign
        self.draws = self.told = 0
        wanted = [value for value in values if _can_be_watched(value) and not campaign.why_not(value)]
        views = {value: campaign.view(value, loss=loss) for value in wanted}
        ends = {view.label: view.ends() for view in views.values()}
        self._watched = [_Watched(value, view, ends[view.label], campaign.plan.design) for value, view in views.items()]

    def advance(self, draws: int) -> list[Convergence]:
        """Take in the whole units of draws up to `draws` and return the statistics of each value."""
        self.take(draws)
        return self.points()

    def take(self, draws: int) -> None:
        """Take in the whole units of draws up to `draws`."""
        draws -= draws % self.campaign.plan.design.unit_rows
        if draws > self.draws:
            for _, group in groupby(sorted(self._watched, key=_label), _label):
                together = list(group)
                for block in blocks_of_rows(together[0].view.retrains(self.draws, draws)):
                    for watched in together:
                        watched.update(block)
        self.draws = max(self.draws, draws)

    def points(self) -> list[Convergence]:
        """The statistics of each value over the draws taken in (`draws`; `told`: those of the last call)."""
        self.told = self.draws
        units = self.draws // self.campaign.plan.design.unit_rows
        return [watched.convergence(self.draws, units) for watched in self._watched]


def _last_column(found: Influence) -> InstanceValues:
    """The influence on the last column as values of instances."""
    return replace(
        found.data_values(),
        values=found.values[:, -1],
        standard_errors=found.standard_errors[:, -1],
        degrees_of_freedom=found.degrees_of_freedom[:, -1],
    )


def _can_be_watched(value: str) -> bool:
    method = value_method(value)
    return not method.per_instance and not method.from_walks


def _label(watched: _Watched) -> str:
    return watched.view.label


def _finite_mean(errors: AnyArray) -> float:
    finite = errors[np.isfinite(errors)]
    return float(finite.mean()) if finite.size else float("nan")
