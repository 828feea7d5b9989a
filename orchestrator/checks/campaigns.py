"""Names in a job's campaigns and values, and whether values fit the designs."""

from collections.abc import Iterable, Sequence

from estimators.designs.protocol import Design
from estimators.errors import EstimatorError, UnknownName
from estimators.methods.value_label import parsed_label
from estimators.registry import DESIGNS, VALUES, value_method
from orchestrator.checks.designs import alike, parameter_problems
from orchestrator.errors import Problem
from orchestrator.jobs.job import CampaignSpec, Job, Until, UntilBudget
from orchestrator.jobs.origin import Place
from orchestrator.wording import did_you_mean, listed, shown
from workers.learner_specs import FunctionSpec
from workers.losses import loss_name

_LIST = "`apportion methods` lists them"


def name_problems(job: Job) -> list[Problem]:
    """Designs and values that do not exist, and parameters that a design needs or does not have."""
    problems = [
        problem
        for index, label in enumerate(job.value_labels)
        for problem in _label_problems(label, job.origin.where("values", index))
    ]
    twice = sorted({label for label in job.value_labels if job.value_labels.count(label) > 1})
    if twice:
        problems.append(Problem(f"{listed(twice)} stand twice", job.origin.where("values"), "name each value once"))
    for index, campaign in enumerate(job.campaigns):
        if campaign.design not in DESIGNS:
            where = job.origin.where("campaigns", index, "design")
            problems.append(_unknown("design", campaign.design, DESIGNS, where))
        else:
            problems += parameter_problems(campaign, index, job)
        problems += _until_problems(campaign, index, job)
    return problems + alike(job)


def _label_problems(label: str, where: str) -> list[Problem]:
    """What is wrong with a value and its options."""
    try:
        value_method(label)
    except UnknownName:
        name = parsed_label(label)[0]
        if name not in VALUES:
            return [_unknown("value", name, VALUES, where)]
        takes = listed(VALUES[name].takes)
        return [Problem(f"{shown(label)}: {name} takes {takes}", where, "remove the others")]
    except EstimatorError as error:
        return [Problem(str(error), where, f"apportion methods {label.partition('(')[0]}")]
    return []


def _unknown(kind: str, name: str, names: Iterable[str], where: str) -> Problem:
    known = list(names)
    mend = f"{did_you_mean(name, known)} {kind}s: {listed(known)}; {_LIST}".strip()
    return Problem(f"there is no {kind} `{shown(name)}`", where, mend)


def _until_problems(campaign: CampaignSpec, index: int, job: Job) -> list[Problem]:
    if not isinstance(campaign.retrains, UntilBudget):
        return []
    until, place = campaign.retrains.until, ("campaigns", index, "retrains", "until")
    problems = []
    problems += _label_problems(until.value, job.origin.where(*place, "value"))
    if not problems and job.values and until.value not in job.value_labels:
        what = f"`{until.value}` is none of the job's values: {listed(job.value_labels)}"
        problems.append(Problem(what, job.origin.where(*place, "value"), "add it to `values`, or name one of them"))
    problems += _statistic_problems(until, place, job)
    losses = () if isinstance(job.learner, FunctionSpec) else tuple(map(loss_name, job.learner.losses))
    if until.loss is not None and losses and until.loss not in losses:
        what = f"`{shown(until.loss)}` is none of the losses kept: {listed(losses)}"
        problems.append(Problem(what, job.origin.where(*place, "loss"), did_you_mean(until.loss, losses)))
    return problems


def _statistic_problems(until: Until, place: Place, job: Job) -> list[Problem]:
    problems = []
    if until.statistic == "top_undecided" and until.top is None:
        problems.append(Problem("top_undecided needs `top`", job.origin.where(*place), "add `top: 20`"))
    if until.statistic != "top_undecided" and until.top is not None:
        where = job.origin.where(*place, "top")
        problems.append(Problem("`top` is of the statistic top_undecided", where, "remove it, or name that statistic"))
    if until.statistic != "mean_standard_error" and until.below > 1:
        what = f"{until.statistic} is a share, which is always below {until.below:g}"
        problems.append(Problem(what, job.origin.where(*place, "below"), "write for example `below: 0.05`"))
    return problems


def value_problems(job: Job, designs: Sequence[Design | None]) -> list[Problem]:
    """Values that no campaign of the job can give, and values that need losses which are not kept."""
    made = [design for design in designs if design is not None]
    if len(made) < len(designs):
        return []
    problems = []
    for index, name in enumerate(job.value_labels):
        where = job.origin.where("values", index)
        if _label_problems(name, where):
            continue
        reasons = [
            value_method(name).accepts(design, draws)
            for design, draws in zip(made, _draws_planned(job, made), strict=True)
        ]
        if all(reasons):
            problems.append(Problem(f"no campaign of the job gives {name}: {reasons[0]}", where, _designs_for(name)))
        elif value_method(name).needs_train_losses and not keeps_train_losses(job):
            what = f"{name} needs losses on the training instances, which the learner is told not to keep"
            problems.append(Problem(what, where, "set `train_losses: true` in learner"))
    if not job.values and not values_of(job, made):
        problems.append(Problem("no value can be read off these designs", job.origin.where("campaigns"), _LIST))
    return problems + _until_unfit(job, made)


def _until_unfit(job: Job, designs: Sequence[Design]) -> list[Problem]:
    """Values to stop at that the campaign's own design does not give."""
    problems = []
    for index, (campaign, design) in enumerate(zip(job.campaigns, designs, strict=True)):
        if isinstance(campaign.retrains, UntilBudget) and not _label_problems(campaign.retrains.until.value, ""):
            reason = value_method(campaign.retrains.until.value).accepts(design, campaign.retrains.until.at_most)
            where = job.origin.where("campaigns", index, "retrains", "until", "value")
            problems += [Problem(f"cannot be read off this campaign: {reason}", where)] * bool(reason)
    return problems


def _designs_for(name: str) -> str:
    return f"add a campaign of the design {' or '.join(value_method(name).designs)}, or take {name} out of `values`"


def keeps_train_losses(job: Job) -> bool:
    """Whether losses on the training instances may be there; a function of the user's decides that itself."""
    return isinstance(job.learner, FunctionSpec) or job.learner.train_losses


def values_of(job: Job, designs: Sequence[Design]) -> tuple[str, ...]:
    """The values that the job asks for; where it names none, all that its designs and losses give."""
    if job.values:
        return job.value_labels
    train_losses = not isinstance(job.learner, FunctionSpec) and job.learner.train_losses
    planned = list(zip(designs, _draws_planned(job, designs), strict=True))
    return tuple(
        name
        for name, method in VALUES.items()
        if not method.by_request and (train_losses or not method.needs_train_losses)
        if any(not method.accepts(design, draws) for design, draws in planned)
    )


def _draws_planned(job: Job, designs: Sequence[Design]) -> list[int | None]:
    """Draws of each campaign, at most; None where neither the job nor the design says."""
    said = [
        each.retrains.until.at_most if isinstance(each.retrains, UntilBudget) else each.retrains
        for each in job.campaigns
    ]
    return [design.draw_count or draws for design, draws in zip(designs, said, strict=True)]
