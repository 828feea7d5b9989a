"""Interactions of pairs of training instances from a campaign's stored losses."""

from collections.abc import Sequence

import numpy as np

from estimators.aggregators.blocks import Again, aggregate
from estimators.errors import EstimatorError
from estimators.interactions.indices import interaction_index
from estimators.interactions.listed_pairs import ListedPairs
from estimators.interactions.pair_values import PairValues
from estimators.interactions.strongest_pairs import StrongestPairs
from orchestrator.campaign import Campaign
from orchestrator.errors import JobError
from orchestrator.loss_view import loss_view
from orchestrator.results import JobResult

Pair = tuple[int, int]


def interactions(
    result: JobResult,
    name: str,
    *,
    pairs: Sequence[Pair] = (),
    strongest: int = 20,
    loss: str | None = None,
    of: str | None = None,
    campaign: str | None = None,
) -> PairValues:
    """The interaction index `name` of the pairs named, or of the strongest pairs among all on the mean loss.

    loss, of: as in `Campaign.values`. campaign: the one named, else the first whose law permits the index.
    Raises EstimatorError where no campaign does, with each one's reason, JobError for a pair that cannot be.
    """
    chosen = _campaign_for(result, name, campaign)
    n = chosen.plan.design.n
    view = loss_view(chosen, loss=loss, of=of, over=None)
    ends, design, draws = view.ends(), chosen.plan.design, chosen.plan.draws
    rows = Again(lambda: view.retrains(0, draws))
    index, compared = interaction_index(name), len(pairs)
    listed = _checked(pairs, n)
    if not pairs:
        compared = n * (n - 1) // 2
        listed = aggregate(StrongestPairs(index, design, ends, min(strongest, compared)), rows)
    return aggregate(ListedPairs(index, view.label, design, ends, listed, compared), rows)


def _campaign_for(result: JobResult, name: str, campaign: str | None) -> Campaign:
    index = interaction_index(name)
    wanted = result.campaigns if campaign is None else (result.campaign(campaign),)
    reasons = []
    for each in wanted:
        reason = index.objection(each.plan.design, each.plan.draws)
        if not reason:
            return each
        reasons.append(f"{each.name}: {reason}")
    raise EstimatorError(f"no campaign of this job permits {name}: " + "; ".join(reasons))


def _checked(pairs: Sequence[Pair], n: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    listed = [(min(pair), max(pair)) for pair in pairs]
    for first, second in listed:
        if first == second or first < 0 or second >= n:
            raise JobError(
                f"no pair {first}:{second}", mend=f"name two different training instances, 0 to {n - 1}, as in 3:17"
            )
    return np.array(listed, dtype=np.int64).reshape(-1, 2)
