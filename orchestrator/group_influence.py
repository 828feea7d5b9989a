"""Influence of groups of training instances, from whatever of the job's campaigns can tell.

`leave_m_out` with a column gives it by definition, random designs its expectation over subsets; beside either stands
the sum of the group's single values, which differs from the group's own influence by what its members do together.
"""

import numpy as np

from estimators.aggregators.blocks import aggregate
from estimators.arrays import FloatArray, IntArray
from estimators.designs.leave_m_out import LeaveGroupsOut
from estimators.errors import EstimatorError
from estimators.groups.expected import ExpectedGroupInfluence
from estimators.groups.group_values import GroupValues
from estimators.groups.left_out import LeftOutGroups
from estimators.influence import Influence
from orchestrator.campaign import Campaign
from orchestrator.gradients.grouping import groups_of
from orchestrator.loss_view import loss_view
from orchestrator.results import JobResult


def group_influence(
    result: JobResult, by: str = "class", *, loss: str | None = None, of: str | None = None, campaign: str | None = None
) -> GroupValues:
    """Influence of the groups that `by` makes: "class", or a column of the training table.

    From a campaign of design leave_m_out over that column where there is one, else expected over a random design.
    Raises JobError for a column that is not there, EstimatorError where no campaign can tell, with reasons.
    """
    wanted = result.campaigns if campaign is None else (result.campaign(campaign),)
    for each in wanted:
        design = each.plan.design
        if isinstance(design, LeaveGroupsOut) and design.column == by:
            view = loss_view(each, loss=loss, of=of, over=None)
            return aggregate(LeftOutGroups(view.label, design, view.ends()), view.retrains(0, each.plan.draws))
    codes, names = groups_by(result, by)
    reasons = []
    for each in wanted:
        found = _expected(each, codes, names, loss, of)
        if isinstance(found, GroupValues):
            return found
        reasons.append(f"{each.name}: {found}")
    raise EstimatorError(f"no campaign of this job tells the influence of groups by {by}: " + "; ".join(reasons))


def _expected(
    campaign: Campaign, codes: IntArray, names: tuple[str, ...], loss: str | None, of: str | None
) -> GroupValues | str:
    view = loss_view(campaign, loss=loss, of=of, over=None)
    aggregator = ExpectedGroupInfluence(view.label, campaign.plan.design, view.ends(), codes, names)
    reason = aggregator.objection()
    return reason or aggregate(aggregator, view.retrains(0, campaign.plan.draws))


def groups_by(result: JobResult, by: str) -> tuple[IntArray, tuple[str, ...]]:
    """The group of each player [n], and the groups' names; raises JobError where `by` makes none."""
    return groups_of(result.loaded, by)


def sums_of_members(result: JobResult, codes: IntArray, value: str, *, loss: str | None = None) -> FloatArray:
    """The sum of the data values of each group's members, [G]: what the group would do if no two members interacted."""
    found = result.values(value, loss=loss)
    data = found.data_values() if isinstance(found, Influence) else found
    sums: FloatArray = np.bincount(codes, weights=data.values).astype(np.float64)
    return sums
