"""Whether the learner and its losses are for the task that the labels set."""

from orchestrator.errors import Problem
from orchestrator.jobs.job import Job, UntilBudget
from orchestrator.jobs.origin import Place
from orchestrator.wording import listed, shown
from workers.dataset import Dataset, Task
from workers.learner_specs import FunctionSpec, LinearSvmSpec, LogisticRegressionSpec, RidgeSpec, TorchSpec
from workers.losses import default_of, loss_name, offered_by
from workers.mapped_array import is_mapped

KEEPERS = ("torch", "logistic_regression", "linear_svm", "ridge")
"""Kinds of learners whose models can be kept."""


def loss_problems(job: Job, task: Task) -> list[Problem]:
    """Losses of the other task, losses named twice, and a learner of the other task."""
    learner, where = job.learner, job.origin.where("learner", "losses")
    if isinstance(learner, FunctionSpec):
        return keep_problems(job)
    problems = [*_learner_problems(job, task), *keep_problems(job)]
    offered = offered_by(learner.kind, task)
    foreign = [loss for loss in learner.losses if loss not in offered and not _is_function(loss, job)]
    if foreign:
        mend = f"losses of {learner.kind} for {task}: {listed(offered)}; `task` in data sets the task"
        problems.append(Problem(f"{listed(foreign)} cannot be kept: the task is {task}", where, mend))
    if len(set(learner.losses)) < len(learner.losses):
        problems.append(Problem(f"a loss stands twice in {listed(learner.losses)}", where, "name each loss once"))
    return problems + _until_problems(job, tuple(map(loss_name, learner.losses)) or default_of(learner.kind, task))


def _is_function(loss: str, job: Job) -> bool:
    """Whether a loss names a function of the user's, which a torch learner may keep."""
    return isinstance(job.learner, TorchSpec) and ":" in loss


def _until_problems(job: Job, kept: tuple[str, ...]) -> list[Problem]:
    """`until` rules and stops of walks on a loss that is not kept."""
    problems = []
    for index, campaign in enumerate(job.campaigns):
        named: list[tuple[str | None, Place]] = []
        if isinstance(campaign.retrains, UntilBudget):
            named.append((campaign.retrains.until.loss, ("campaigns", index, "retrains", "until", "loss")))
        if campaign.truncate is not None:
            named.append((campaign.truncate.loss, ("campaigns", index, "truncate", "loss")))
        problems += [
            Problem(f"`{shown(loss)}` is not kept", job.origin.where(*place), f"losses kept: {listed(kept)}")
            for loss, place in named
            if loss is not None and loss not in kept
        ]
    return problems


def mapped_problems(job: Job, data: Dataset) -> list[Problem]:
    """Data that stay in their file with a learner that would copy them into memory."""
    if not is_mapped(data.train_features) or isinstance(job.learner, (TorchSpec, FunctionSpec)):
        return []
    what = f"the training data are too large to load, and {job.learner.kind} copies them into memory"
    mend = "take kind: torch, which reads them by the batch, or fewer rows; `memory_map: never` in data loads them"
    return [Problem(what, job.origin.where("learner", "kind"), mend)]


def keep_problems(job: Job) -> list[Problem]:
    """`keep: true` in a learner whose models cannot be kept."""
    kind = job.learner.kind
    if not job.learner.keep or kind in KEEPERS:
        return []
    what = f"models of {kind} cannot be kept: reading them would execute code that they hold"
    mend = f"leave it out, or take one of the kinds {listed(KEEPERS)}"
    return [Problem(what, job.origin.where("learner", "keep"), mend)]


def _learner_problems(job: Job, task: Task) -> list[Problem]:
    where = job.origin.where("learner", "kind")
    if isinstance(job.learner, RidgeSpec) and task == "classification":
        mend = "take `kind: logistic_regression`, or set `task: regression` in data"
        return [Problem("ridge is a learner for regression, but the labels are classes", where, mend)]
    if isinstance(job.learner, LogisticRegressionSpec | LinearSvmSpec) and task == "regression":
        mend = "take `kind: ridge`, or set `task: classification` in data"
        return [Problem(f"{job.learner.kind} is a learner for classes, but the labels are numbers", where, mend)]
    return []
