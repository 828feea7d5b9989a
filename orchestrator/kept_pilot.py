"""A pilot that stays: the first retrains of each campaign, carried out and stored as the campaign itself would."""

import math
from collections.abc import Mapping
from contextlib import suppress

from estimators.pilot_length import first_length, next_length
from orchestrator.campaign import Campaign
from orchestrator.errors import ApportionError, JobError
from orchestrator.expected_errors import expected_errors
from orchestrator.job_run import run
from orchestrator.jobs.job import Job
from orchestrator.preparation import PlannedCampaign, prepare
from orchestrator.progress import Screen
from orchestrator.results import open_result


def keep_pilot(job: Job, screen: Screen) -> None:
    """Carry out the first draws of each campaign of random draws; what is stored is not trained again.

    Raises as `run`, JobError where no campaign draws at random.
    """
    prepared = prepare(job, screen.say)
    drawn = {each.id: each for each in prepared.campaigns if each.design.draw_count is None}
    if not drawn:
        raise JobError("no campaign of the job draws at random: there is no pilot to keep", mend="leave --keep out")
    lengths = {name: first_length(each.design, each.draws) for name, each in drawn.items()}
    while True:
        _carry_out(job, prepared.campaigns, lengths, screen)
        longer = _longer(drawn, lengths, stored_campaigns(job), prepared.values)
        if not longer:
            return
        lengths |= longer
        words = ", ".join(f"{drawn[name].name} to {length:,} retrains" for name, length in longer.items())
        screen.say(f"the pilot goes on, since its predictions are not yet within a quarter: {words}")


def _longer(
    drawn: Mapping[str, PlannedCampaign],
    lengths: Mapping[str, int],
    stored: Mapping[str, Campaign],
    values: tuple[str, ...],
) -> dict[str, int]:
    """The campaigns whose pilot should go on, and to which length."""
    longer = {}
    for name in drawn.keys() & stored.keys():
        campaign = drawn[name]
        wanted = _wanted(stored[name], campaign, lengths[name], values)
        length = next_length(campaign.design, campaign.draws, lengths[name], wanted)
        if length > lengths[name]:
            longer[name] = length
    return dict(sorted(longer.items()))


def _wanted(stored: Campaign, campaign: PlannedCampaign, pilot: int, values: tuple[str, ...]) -> float:
    """The most retrains that a prediction asks of the pilot; errors that are not known ask for none."""
    train = stored.has_train_losses
    found = expected_errors(stored, campaign.design, values, draws=campaign.draws, pilot=pilot, train_losses=train)
    return max((each.settled_by for each in found if math.isfinite(each.settled_by)), default=0.0)


def stored_campaigns(job: Job) -> dict[str, Campaign]:
    """The job's campaigns by id, as far as a store has them; none where there is no store, or it cannot be read."""
    with suppress(ApportionError):
        return {campaign.id: campaign for campaign in open_result(job).campaigns}
    return {}


def _carry_out(job: Job, campaigns: tuple[PlannedCampaign, ...], lengths: Mapping[str, int], screen: Screen) -> None:
    specs = [
        spec.model_copy(update={"retrains": lengths[campaign.id]})
        for spec, campaign in zip(job.campaigns, campaigns, strict=True)
        if campaign.id in lengths
    ]
    run(job.model_copy(update={"campaigns": tuple(specs)}), screen=screen)
