"""A pilot that stays: the first retrains of each campaign, carried out and stored as the campaign itself would."""

from contextlib import suppress

from estimators.planning import enough_draws
from orchestrator.campaign import Campaign
from orchestrator.errors import ApportionError, JobError
from orchestrator.job_run import run
from orchestrator.jobs.job import Job
from orchestrator.pilot_rows import PILOT_DRAWS
from orchestrator.preparation import prepare
from orchestrator.progress import Screen
from orchestrator.results import open_result


def keep_pilot(job: Job, screen: Screen) -> None:
    """Carry out the first draws of each campaign of random draws; what is stored is not trained again.

    At least 32 and 2 units; 6 n, where that is no more than a quarter of the budget: then what estimators learn from
    rows can be told from what they will never. Raises as `run`, JobError where no
    campaign draws at random.
    """
    specs = []
    for spec, campaign in zip(job.campaigns, prepare(job, screen.say).campaigns, strict=True):
        design = campaign.design
        count = max(PILOT_DRAWS, design.least_draws, enough_draws(design.n, campaign.draws))
        units = max(2, -(-count // design.unit_rows))
        if design.draw_count is None:
            specs.append(spec.model_copy(update={"retrains": min(campaign.draws, units * design.unit_rows)}))
    if not specs:
        raise JobError("no campaign of the job draws at random: there is no pilot to keep", mend="leave --keep out")
    run(job.model_copy(update={"campaigns": tuple(specs)}), screen=screen)


def stored_campaigns(job: Job) -> dict[str, Campaign]:
    """The job's campaigns by id, as far as a store has them; none where there is no store, or it cannot be read."""
    with suppress(ApportionError):
        return {campaign.id: campaign for campaign in open_result(job).campaigns}
    return {}
