"""Whether the entries of a job's `gradients` fit the job around them."""

from collections.abc import Iterator

from estimators.errors import EstimatorError
from estimators.registry import VALUES
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import JobError, Problem
from orchestrator.gradients.grouping import groups_of
from orchestrator.jobs.job import Job
from orchestrator.wording import did_you_mean, listed, shown
from workers.errors import LearnerError
from workers.gradient_specs import GradientSpec
from workers.learner import Learner

_ANOTHER = "take the entry out, or another method: `apportion methods` lists them"


def gradient_problems(job: Job, loaded: LoadedData | None) -> list[Problem]:
    """Names that values have already, campaigns that keep no models, columns that are not there."""
    return [
        problem
        for index, spec in enumerate(job.gradients)
        for problem in _problems(job, spec, loaded, job.origin.where("gradients", index))
    ]


def refuse_misfits(job: Job, learner: Learner) -> None:
    """Look at every entry before anything is trained for it; raises JobError naming all that do not fit the learner."""
    if not job.gradients:
        return
    from workers.gradient_work import refuse_misfit  # noqa: PLC0415 - torch only where it is needed

    problems = []
    for index, spec in enumerate(job.gradients):
        try:
            refuse_misfit(spec, learner)
        except (LearnerError, EstimatorError) as error:
            what, mend = (error.what, error.mend) if isinstance(error, LearnerError) else (str(error), "")
            where = job.origin.where("gradients", index)
            problems.append(Problem(what.removeprefix("gradients: "), where, mend or _ANOTHER))
    if problems:
        raise JobError(problems)


def _problems(job: Job, spec: GradientSpec, loaded: LoadedData | None, where: str) -> Iterator[Problem]:
    if spec.label in VALUES:
        yield Problem(f"`{shown(spec.label)}` is the name of a value", where, "give the entry another `name`")
    if spec.campaign is not None:
        yield from _campaign(job, spec.campaign, where)
    if spec.grouped_by is not None and loaded is not None:
        try:
            groups_of(loaded, spec.grouped_by)
        except JobError as error:
            yield Problem(error.problems[0].what, where, error.problems[0].mend)


def _campaign(job: Job, name: str, where: str) -> Iterator[Problem]:
    names = [each.name or each.design for each in job.campaigns]
    if name not in names:
        mend = did_you_mean(name, names) or f"campaigns: {listed(names)}"
        yield Problem(f"there is no campaign `{shown(name)}` to take models from", where, mend)
    if any((each.name or each.design) == name and each.design == "walk" for each in job.campaigns):
        yield Problem("walks keep no models", where, "name a campaign of retrains")
    if not job.learner.keep:
        yield Problem(f"campaign {shown(name)} keeps no models", where, "write `keep: true` in the learner")
