"""Removal curves: retrain without the instances that an estimator values highest, and see how far the loss rises.

The retrains are a campaign of the job like any other (`subsets_from_file`), so they are stored, reused and resumed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray
from estimators.seeding import generator
from orchestrator.campaign import Campaign
from orchestrator.evaluation.estimate import Estimate
from orchestrator.evaluation.record import RemovalPoint
from orchestrator.job_run import run
from orchestrator.jobs.job import CampaignSpec, Job
from orchestrator.progress import Screen
from orchestrator.replaced_file import replaced_file
from orchestrator.results import JobResult
from workers.chunk_name import content_hash

SHARES = (0.05, 0.1, 0.2, 0.3)
RANDOM = "random"
RANDOM_ORDERS = 5
NAME = "removal"


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What is retrained: members [K, n], and whose curve and which share each row belongs to."""

    members: BoolArray
    orders: tuple[str, ...]
    shares: tuple[float, ...]


def removal_plan(estimates: Sequence[Estimate], n: int, *, seed: int = 0) -> RemovalPlan:
    """For each estimate the shares removed, highest data values first; five random orders beside them."""
    ranked = [(each.name, np.argsort(-each.worth, kind="stable")) for each in estimates if each.values is not None]
    drawn = generator("removal", seed)
    ranked += [(RANDOM, drawn.permutation(n)) for _ in range(RANDOM_ORDERS)]
    rows = [(order, name, share) for name, order in ranked for share in SHARES]
    members = np.ones((len(rows), n), dtype=np.bool_)
    for row, (order, _, share) in zip(members, rows, strict=True):
        row[order[: max(1, round(share * n))]] = False
    return RemovalPlan(members, tuple(name for _, name, _ in rows), tuple(share for _, _, share in rows))


def removal_curves(
    result: JobResult, estimates: Sequence[Estimate], loss: str, *, replicates: int = 3, screen: Screen | None = None
) -> tuple[RemovalPoint, ...]:
    """Train what the store lacks and read the curves off: rises of the mean test loss over that of the whole set.

    replicates: seeds of each subset, for a learner whose losses depend on them. Raises as `apportion run`.
    """
    plan = removal_plan(estimates, len(result.train_names), seed=result.job.seed)
    times = 1 if result.campaigns[0].deterministic else replicates
    found = run(_with_removal(result.job, plan, times), screen=screen)
    campaign = found.campaign(NAME)
    losses = _mean_losses(campaign, loss, times, len(plan.members))
    whole = campaign.ends(loss).full.mean(axis=1)
    return tuple(_points(plan, losses, whole))


def _with_removal(job: Job, plan: RemovalPlan, times: int) -> Job:
    folder = job.folder / ".apportion"
    folder.mkdir(exist_ok=True)
    path = folder / f"removal-{content_hash(np.packbits(plan.members).tobytes())}.npz"
    with replaced_file(path) as stream:
        np.savez(stream, members=plan.members)
    relative = str(path.relative_to(job.folder))
    spec = CampaignSpec(design="subsets_from_file", name=NAME, file=relative, replicates=times if times > 1 else None)
    return job.model_copy(update={"campaigns": (*job.campaigns, spec)})


def _mean_losses(campaign: Campaign, loss: str, times: int, subsets: int) -> FloatArray:
    """Mean test losses [subsets, times]; NaN for a retrain that failed."""
    found = np.full((subsets, times), np.nan)
    for block in campaign.retrains(loss, 0, campaign.plan.draws):
        assert block.draws is not None  # a campaign's rows always have them
        found[block.draws // times, block.draws % times] = block.losses.astype(np.float64).mean(axis=1)
    return found


def _points(plan: RemovalPlan, losses: FloatArray, whole: FloatArray) -> list[RemovalPoint]:
    """One point for each curve and share; errors from seeds, for the random curve from its orders too."""
    points = []
    for name in dict.fromkeys(plan.orders):
        for share in SHARES:
            rows = [k for k, key in enumerate(zip(plan.orders, plan.shares, strict=True)) if key == (name, share)]
            means = losses[rows].mean(axis=1) if len(rows) > 1 else losses[rows[0]]
            rise = float(np.mean(means) - whole.mean())
            if math.isfinite(rise):
                points.append(RemovalPoint(name, share, rise, _error(means, whole)))
    return points


def _error(means: FloatArray, whole: FloatArray) -> float | None:
    """Of the difference of two means; None where one retrain each is all there is."""
    parts = [float(np.var(each, ddof=1)) / len(each) for each in (means, whole) if len(each) > 1]
    return math.sqrt(sum(parts)) if parts else None
