"""A few retrains of a campaign's own first draws, with those of D and of the empty subset, in this process."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from estimators.arrays import AnyArray, BoolArray, IntArray, SeedArray
from estimators.designs.protocol import Design
from estimators.pilot_length import LEAST
from estimators.retrains import EndRows, Retrains
from estimators.seeding import retrain_seeds
from estimators.subsets import subset_keys
from orchestrator.data.axes import Axes, axes_of
from orchestrator.plan import end_replicates
from orchestrator.preparation import PlannedCampaign, Prepared
from workers.errors import LearnerError
from workers.learner import Learner, Losses
from workers.out_of_memory import is_out_of_memory
from workers.smoke import SmokeReport

SECONDS_PER_PILOT = 5.0


@dataclass(frozen=True, slots=True)
class _Trained:
    """Losses by name of the rows that did not fail, at their `places` among those asked for, and why the others did."""

    places: IntArray
    test: dict[str, AnyArray]
    train: dict[str, AnyArray]
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class PilotRows:
    """Losses of the pilot; a source for `loss_view`. seconds: of a retrain.

    numbers: of the plan's draws that were asked for, the first ones, or of long walks some spread over them.
    """

    losses: tuple[str, ...]
    axes: Axes
    design: Design
    drawn: int
    numbers: IntArray
    members: BoolArray
    draws: _Trained
    ends: "_Ends | None"
    seconds: float
    train_losses: bool = field(default=False)

    @property
    def n_test(self) -> int:
        """Number of tests."""
        return int(self.draws.test[self.losses[0]].shape[1])

    @property
    def failed(self) -> list[str]:
        """Why retrains failed."""
        return self.draws.reasons

    def source(self) -> "PilotSource | None":
        """The pilot as values are read off it; None where D or the empty set failed."""
        return PilotSource(self, self.ends) if self.ends is not None else None


@dataclass(frozen=True, slots=True)
class _Ends:
    """Losses by name of D's replicates, then of the empty subset."""

    test: dict[str, AnyArray]
    train: dict[str, AnyArray]
    deterministic: bool


@dataclass(frozen=True, slots=True)
class PilotSource:
    """`LossSource` of a pilot."""

    rows: PilotRows
    end_rows: _Ends

    @property
    def losses(self) -> tuple[str, ...]:
        """Those kept."""
        return self.rows.losses

    @property
    def axes(self) -> Axes:
        """What tests may be averaged over."""
        return self.rows.axes

    @property
    def n_test(self) -> int:
        """Number of tests."""
        return self.rows.n_test

    def ends(self, loss: str, *, with_train: bool = False) -> EndRows:
        """Losses of D's replicates and of the empty subset."""
        test = self.end_rows.test[loss].astype(np.float64)
        train = self.end_rows.train[loss].astype(np.float64) if with_train else None
        return EndRows(
            full=test[:-1],
            empty=test[-1],
            deterministic=self.end_rows.deterministic,
            full_train=None if train is None else train[:-1],
            empty_train=None if train is None else train[-1],
        )

    def retrains(self, loss: str, start: int, stop: int, *, with_train: bool = False) -> Iterator[Retrains]:
        """Of those asked for the start-th to the last before stop, whose units did not fail, at once."""
        rows, unit_rows, places = self.rows, self.rows.design.unit_rows, self.rows.draws.places
        draws = rows.numbers[places]
        failed = np.setdiff1d(rows.numbers[: rows.drawn], draws) // unit_rows
        kept = np.flatnonzero((places >= start) & (places < stop) & ~np.isin(draws // unit_rows, failed))
        train = rows.draws.train[loss] if with_train else None
        found = Retrains(rows.members, rows.draws.test[loss], train, draws=draws, units=draws // unit_rows)
        yield found.rows(kept)


def pilot_rows(prepared: Prepared, campaign: PlannedCampaign, learner: Learner, report: SmokeReport) -> PilotRows:
    """Train the pilot of a campaign: at least 32 draws in whole units, as far as 5 seconds go.

    Raises LearnerError where every retrain of it fails.
    """
    design, together = campaign.design, report.together
    units = max(2, -(-max(LEAST, together) // design.unit_rows))
    count = min(campaign.draws, units * design.unit_rows)
    places = np.arange(count)
    if count > 4 * max(LEAST, together):  # long walks: their first prefixes alone would be small subsets
        places = np.unique(np.linspace(0, count - 1, max(LEAST, together)).round().astype(np.int64))
    members = np.concatenate([design.draws(place, place + 1) for place in places.tolist()])
    replicates = np.concatenate([design.replicates(place, place + 1) for place in places.tolist()])
    parts, began, drawn = list[tuple[IntArray, Losses | str]](), time.monotonic(), 0
    while drawn < len(places) and (drawn == 0 or time.monotonic() - began < SECONDS_PER_PILOT):
        rows = np.arange(drawn, min(drawn + together, len(places)))
        parts += _train(prepared, learner, members[rows], replicates[rows], rows)
        drawn += len(rows)
    seconds = (time.monotonic() - began) / drawn
    found = _joined(parts)
    if not found.test:
        raise LearnerError(f"{campaign.name}: all {drawn} retrains of the pilot fail, the first: {found.reasons[0]}")
    return PilotRows(
        losses=report.losses,
        axes=axes_of(prepared.loaded),
        design=design,
        drawn=drawn,
        numbers=places,
        members=members[found.places],
        draws=found,
        ends=_ends(prepared, learner, report),
        seconds=seconds,
        train_losses=bool(found.train),
    )


def _ends(prepared: Prepared, learner: Learner, report: SmokeReport) -> _Ends | None:
    n, deterministic = prepared.loaded.dataset.n, report.traits.deterministic
    count = end_replicates(n, deterministic=deterministic)
    members = np.ones((count + 1, n), dtype=np.bool_)
    members[-1] = False
    replicates = np.append(np.arange(count), 0)
    found = _joined(_train(prepared, learner, members, replicates, np.arange(count + 1)))
    return None if found.reasons else _Ends(found.test, found.train, deterministic)


def _train(
    prepared: Prepared, learner: Learner, members: BoolArray, replicates: IntArray, rows: IntArray
) -> list[tuple[IntArray, Losses | str]]:
    keys = subset_keys(members, prepared.loaded.train_identities)
    return _trained(learner, members, retrain_seeds(prepared.job.learner.seed, keys, replicates), rows)


def _trained(
    learner: Learner, members: BoolArray, seeds: SeedArray, rows: IntArray
) -> list[tuple[IntArray, Losses | str]]:
    """Losses of the rows, or why one fails: of several together each alone, as in a campaign; K halved, if need be."""
    try:
        return [(rows, learner.retrain(members, seeds))]
    except Exception as error:  # noqa: BLE001 - a campaign records the failure and goes on, so the pilot counts it
        if is_out_of_memory(error) and learner.together > 1:
            return _trained(learner.with_together(learner.together // 2), members, seeds, rows)
        if len(members) == 1:
            return [(rows, f"{type(error).__name__}: {error}")]
    halves = np.array_split(np.arange(len(members)), 2)
    return [each for half in halves for each in _trained(learner, members[half], seeds[half], rows[half])]


def _joined(parts: list[tuple[IntArray, Losses | str]]) -> _Trained:
    good = [(rows, losses) for rows, losses in parts if not isinstance(losses, str)]
    reasons = [losses for _, losses in parts if isinstance(losses, str)]
    if not good:
        return _Trained(np.zeros(0, dtype=np.int64), {}, {}, reasons)
    first = good[0][1]
    test = {name: np.concatenate([losses.test[name] for _, losses in good]) for name in first.test}
    train = {name: np.concatenate([(losses.train or {})[name] for _, losses in good]) for name in first.train or {}}
    return _Trained(np.concatenate([rows for rows, _ in good]), test, train, reasons)
