"""The subsets that estimators are judged on: the last share of a campaign's draws, which no value judged has seen."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.walk import Walk
from estimators.errors import EstimatorError
from estimators.evaluation.datamodeling import NO_NOISE, NoiseCeiling, ceiling_of_halves, ceiling_of_replicates
from estimators.retrains import joined
from estimators.subsets import pack
from orchestrator.campaign import Campaign
from orchestrator.loss_view import loss_view
from orchestrator.results import JobResult

FEWEST_SUBSETS = 10


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Different subsets in the order of their first draw.

    draws: how many of the campaign's draws come before the first of them. members: [K, n]. losses: [K, n_test], the
    mean over a subset's retrains. units: [K], subsets drawn together have the same. replicates: the fewest retrains of
    a subset.
    """

    campaign: Campaign
    loss: str
    draws: int
    members: BoolArray
    losses: FloatArray
    units: IntArray
    replicates: int
    ceiling: NoiseCeiling

    def unseen(self, seen: Iterable[frozenset[bytes]]) -> BoolArray:
        """Which of the subsets [K] are in none of the sets of packed subsets."""
        every = frozenset().union(*seen)
        return np.array([row.tobytes() not in every for row in pack(self.members)], dtype=np.bool_)


def held_out(result: JobResult, *, loss: str | None, share: float, campaign: str | None = None) -> HeldOut:
    """The last `share` of the draws of the campaign named, or of the first one that draws subsets at random.

    Raises EstimatorError where no campaign does, or too few draws are left on either side, with each one's reason.
    """
    wanted = result.campaigns if campaign is None else (result.campaign(campaign),)
    reasons = []
    for each in wanted:
        reason = _why_not(each, share)
        if not reason:
            return _of(each, loss, share)
        reasons.append(f"{each.name}: {reason}")
    raise EstimatorError(f"no campaign has subsets to hold out: {'; '.join(reasons)}; add a campaign of design uniform")


def seen_subsets(campaign: Campaign, draws: int) -> frozenset[bytes]:
    """The packed subsets of the first draws of a campaign."""
    return frozenset(row.tobytes() for rows in campaign.plan.blocks_of_draws(0, draws) for row in pack(rows.members))


def _why_not(campaign: Campaign, share: float) -> str:
    design = campaign.plan.design
    if isinstance(design, Walk):
        return "its retrains are walks, not models of subsets"
    if design.draw_count is not None:
        return f"{design.name} does not draw at random"
    first = _first(campaign, share)
    if campaign.plan.draws - first < FEWEST_SUBSETS or first < FEWEST_SUBSETS:
        return (
            f"{share:.0%} of {campaign.plan.draws:,} draws leave {campaign.plan.draws - first:,} to judge by and "
            f"{first:,} to judge, at least {FEWEST_SUBSETS} each are needed"
        )
    return ""


def _first(campaign: Campaign, share: float) -> int:
    """The first draw that is held out, at a whole unit."""
    unit = campaign.plan.design.unit_rows
    units = campaign.plan.draws // unit
    return (units - max(1, round(share * units))) * unit


def _of(campaign: Campaign, loss: str | None, share: float) -> HeldOut:
    first, stop = _first(campaign, share), campaign.plan.draws
    view = loss_view(campaign, loss=loss, of=None, over=None)
    found = joined(list(view.retrains(first, stop)))
    draws, units = found.draws, found.units
    assert draws is not None and units is not None  # noqa: PT018 - a campaign's rows always have both
    packed = pack(found.members)
    _, places, codes = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    codes = codes.reshape(-1)
    replicates = campaign.plan.design.replicates(first, stop)[draws - first]
    _, once = np.unique(np.stack([codes, replicates]), axis=1, return_index=True)
    once = np.sort(once)  # a row drawn twice is one retrain
    codes, kept = codes[once], found.rows(once)
    counts = np.bincount(codes, minlength=len(places))
    losses = _means(kept.losses.astype(np.float64), codes, counts)
    order = np.argsort(places)
    return HeldOut(
        campaign=campaign,
        loss=view.label,
        draws=first,
        members=found.members[places][order],
        losses=losses[order],
        units=units[places][order],
        replicates=int(counts.min()),
        ceiling=_ceiling(campaign, view.label, kept.losses.astype(np.float64), codes, losses),
    )


def _means(losses: FloatArray, codes: IntArray, counts: IntArray) -> FloatArray:
    sums = np.zeros((len(counts), losses.shape[1]))
    np.add.at(sums, codes, losses)
    return sums / np.maximum(counts, 1)[:, None]


def _ceiling(campaign: Campaign, loss: str, losses: FloatArray, codes: IntArray, means: FloatArray) -> NoiseCeiling:
    if campaign.deterministic:
        return NO_NOISE
    place = _place_within(codes)
    first, second = place % 2 == 0, place % 2 == 1
    subsets = len(means)
    several = np.bincount(codes[second], minlength=subsets) > 0
    if several.sum() < FEWEST_SUBSETS:
        return ceiling_of_replicates(means, campaign.ends(loss).full)
    halves = [
        _means(losses[half], codes[half], np.bincount(codes[half], minlength=subsets)) for half in (first, second)
    ]
    return ceiling_of_halves(halves[0][several], halves[1][several])


def _place_within(codes: IntArray) -> IntArray:
    """The how-manieth of its code each entry is."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], codes[order], side="left")
    place = np.empty(len(codes), dtype=np.int64)
    place[order] = np.arange(len(codes)) - starts
    return place
