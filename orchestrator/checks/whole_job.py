"""Everything about a job that can be known before anything is spent, in one error.

Wrong jobs and data, and what the disk or memory cannot hold, are JobError (exit code 2); a GPU or a worker's size that
this machine has not is ResourceMissing (4), raised where nothing else is wrong.
"""

from collections.abc import Callable

from orchestrator.checks.budget import budget_problems
from orchestrator.checks.campaigns import name_problems, value_problems
from orchestrator.checks.classes import class_notes
from orchestrator.checks.designs import campaign_problems, unit_notes
from orchestrator.checks.gradients import gradient_problems
from orchestrator.checks.resources import address_problems, missing_resources, room_problems, shadowing_problems
from orchestrator.checks.task import loss_problems, mapped_problems
from orchestrator.checks.views import view_problems
from orchestrator.data.datasets import LoadedData, load_data
from orchestrator.errors import JobError, Problem, ResourceMissing
from orchestrator.jobs.job import Job


def check_job(job: Job, loaded: LoadedData | None = None) -> tuple[str, ...]:
    """Check a job, and its data where they are loaded; returns notes for people. Raises JobError, ResourceMissing."""
    problems = [
        *name_problems(job),
        *view_problems(job, loaded),
        *address_problems(job),
        *budget_problems(job),
        *shadowing_problems(job),
        *gradient_problems(job, loaded),
    ]
    notes = list(job.origin.notes)
    if loaded is not None:
        data = loaded.dataset
        found, designs = campaign_problems(job, loaded)
        problems += [*found, *value_problems(job, designs), *loss_problems(job, data.task), *mapped_problems(job, data)]
        problems += room_problems(job, data, designs)
        notes += [*class_notes(job, data, designs), *unit_notes(job, designs)]
    if problems:
        raise JobError(problems)
    missing = missing_resources(job)
    if missing:
        raise ResourceMissing(missing)
    return tuple(notes)


def load_checked(job: Job) -> tuple[LoadedData, tuple[str, ...]]:
    """A job's data and the notes about both, after every check, with the problems of job and data in one error."""
    problems: list[Problem] = []
    _gather(lambda: check_job(job), problems)
    loaded = _gather(lambda: load_data(job), problems)
    if problems or loaded is None:
        raise JobError(problems)
    return loaded, (*check_job(job, loaded), *loaded.notes)


def _gather(step: Callable[[], object], problems: list[Problem]) -> LoadedData | None:
    try:
        result = step()
    except JobError as error:
        problems += error.problems
        return None
    except ResourceMissing:
        return None  # raised again by the last check, if the job itself is right
    return result if isinstance(result, LoadedData) else None
