"""Functions of losses and averages over tests that a job asks its values on."""

from estimators.errors import EstimatorError
from estimators.methods.value_label import AskedLabel, asked_label
from estimators.transforms import parse_expression
from orchestrator.data.axes import axes_of
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import Problem
from orchestrator.jobs.job import Job, UntilBudget
from orchestrator.jobs.origin import Place
from workers.dataset import Task
from workers.learner_specs import FunctionSpec
from workers.losses import default_of


def view_problems(job: Job, loaded: LoadedData | None) -> list[Problem]:
    """What is wrong with them; averages can be judged where the data are loaded."""
    problems = []
    for place, asked in _asked(job):
        where = job.origin.where(*place)
        try:
            if asked.of is not None and not isinstance(job.learner, FunctionSpec):
                parse_expression(asked.of, job.learner.losses or _default(job, loaded))
            if asked.over is not None and loaded is not None:
                axes_of(loaded).average(asked.over, loaded.dataset.n_test)
        except EstimatorError as error:
            problems.append(
                Problem(str(error), where, 'for example `{value: banzhaf, of: "clip(cross_entropy, 0.5)"}`')
            )
    return problems


def _asked(job: Job) -> list[tuple[Place, AskedLabel]]:
    """Every value asked for, with its place in the file."""
    found: list[tuple[Place, AskedLabel]] = [
        (("values", index), asked_label(label)) for index, label in enumerate(job.value_labels)
    ]
    for index, campaign in enumerate(job.campaigns):
        if isinstance(campaign.retrains, UntilBudget):
            place = ("campaigns", index, "retrains", "until", "value")
            found.append((place, asked_label(campaign.retrains.until.value)))
    return found


def _default(job: Job, loaded: LoadedData | None) -> tuple[str, ...]:
    """The losses kept where the job names none; before the data are loaded, of either task."""
    tasks: tuple[Task, ...] = ("classification", "regression") if loaded is None else (loaded.dataset.task,)
    return tuple(dict.fromkeys(name for task in tasks for name in default_of(job.learner.kind, task)))
