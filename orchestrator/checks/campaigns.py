"""Designs, budgets and values of a job: names, parameters, and whether they fit each other and the data."""

from collections.abc import Iterable, Sequence

from estimators.designs import make_design
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError, UnknownName
from estimators.methods.value_label import parsed_label
from estimators.registry import DESIGNS, VALUES, value_method
from orchestrator.errors import Problem
from orchestrator.jobs.job import CampaignSpec, Job, UntilBudget
from orchestrator.wording import counted, did_you_mean, listed, shown
from workers.learner_specs import FunctionSpec

_EXAMPLES = {"size": "size: 100", "fraction": "fraction: 0.7", "probability": "probability: 0.5"}
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
            problems += _parameter_problems(campaign, index, job)
        problems += _until_problems(campaign, index, job)
    return problems + _alike(job)


def _alike(job: Job) -> list[Problem]:
    """Campaigns that draw the same subsets, and campaigns that would bear the same name."""
    problems = []
    names, draws = dict[str, int](), dict[CampaignSpec, int]()
    for index, campaign in enumerate(job.campaigns):
        where, name = job.origin.where("campaigns", index), campaign.name or campaign.design
        seed = job.seed if campaign.seed is None else campaign.seed
        plain = campaign.model_copy(update={"name": None, "retrains": None, "seed": seed})
        first = draws.setdefault(plain, index)
        if first < index:
            what = f"draws the same subsets as campaigns[{first}]"
            problems.append(Problem(what, where, "raise the budget of one and remove the other, or give it a `seed`"))
        elif names.setdefault(name, index) < index:
            what = f"is called `{shown(name)}`, as campaigns[{names[name]}] is"
            problems.append(Problem(what, where, f"add `name: {name}-{index + 1}`"))
    return problems


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


def _parameter_problems(campaign: CampaignSpec, index: int, job: Job) -> list[Problem]:
    design, allowed = campaign.design, DESIGNS[campaign.design].parameters
    given = [name for name in _EXAMPLES if getattr(campaign, name) is not None]
    problems = []
    for name in given:
        if name not in allowed:
            takes = f"it takes {' or '.join(allowed)}" if allowed else "it takes no parameter"
            what = f"the design {design} has no `{name}`"
            problems.append(Problem(what, job.origin.where("campaigns", index, name), f"remove it; {takes}"))
    fitting = [name for name in given if name in allowed]
    where = job.origin.where("campaigns", index)
    if allowed and not fitting:
        mend = f"add `{'` or `'.join(_EXAMPLES[name] for name in allowed)}`"
        problems.append(Problem(f"the design {design} needs {' or '.join(allowed)}", where, mend))
    if len(fitting) > 1:
        problems.append(Problem(f"both {' and '.join(fitting)} are given", where, "keep one of them"))
    return problems


def _until_problems(campaign: CampaignSpec, index: int, job: Job) -> list[Problem]:
    if not isinstance(campaign.retrains, UntilBudget):
        return []
    until, place = campaign.retrains.until, ("campaigns", index, "retrains", "until")
    problems = []
    problems += _label_problems(until.value, job.origin.where(*place, "value"))
    if not problems and job.values and until.value not in job.value_labels:
        what = f"`{until.value}` is none of the job's values: {listed(job.value_labels)}"
        problems.append(Problem(what, job.origin.where(*place, "value"), "add it to `values`, or name one of them"))
    losses = () if isinstance(job.learner, FunctionSpec) else job.learner.losses
    if until.loss is not None and losses and until.loss not in losses:
        what = f"`{shown(until.loss)}` is none of the losses kept: {listed(losses)}"
        problems.append(Problem(what, job.origin.where(*place, "loss"), did_you_mean(until.loss, losses)))
    return problems


def campaign_problems(job: Job, n: int) -> tuple[list[Problem], list[Design | None]]:
    """Problems of designs and budgets on n players, and each campaign's design, None where it cannot be made."""
    problems: list[Problem] = []
    designs: list[Design | None] = []
    for index, campaign in enumerate(job.campaigns):
        try:
            design = make_design(
                campaign.design,
                n=n,
                seed=job.seed if campaign.seed is None else campaign.seed,
                size=campaign.size,
                fraction=campaign.fraction,
                probability=campaign.probability,
            )
        except EstimatorError as error:
            designs.append(None)
            if campaign.design in DESIGNS and not _parameter_problems(campaign, index, job):
                problems.append(Problem(str(error), job.origin.where("campaigns", index)))
            continue
        designs.append(design)
        problems += _budget_problems(campaign, design, index, job)
    return problems, designs


def _budget_problems(campaign: CampaignSpec, design: Design, index: int, job: Job) -> list[Problem]:
    where = job.origin.where("campaigns", index, "retrains")
    budget, fixed, name = campaign.retrains, design.draw_count, campaign.design
    if isinstance(budget, UntilBudget):
        if fixed is not None:
            what = f"{name} always takes {fixed:,} retrains: there is nothing to stop early"
            return [Problem(what, where, "leave `retrains` out")]
        most = budget.until.at_most
        return [_too_small(most, design, job.origin.where("campaigns", index, "retrains", "until", "at_most"))] * (
            most < design.least_draws
        )
    if fixed is not None:
        if budget is None or budget == fixed:
            return []
        return [Problem(f"{name} takes {fixed:,} retrains, not {budget:,}", where, "leave `retrains` out")]
    if budget is None:
        mend = "add `retrains: 2000`, or `retrains: {until: {value: banzhaf, below: 0.002, at_most: 20000}}`"
        return [Problem(f"the design {name} needs a budget", job.origin.where("campaigns", index), mend)]
    return [_too_small(budget, design, where)] * (budget < design.least_draws)


def _too_small(budget: int, design: Design, where: str) -> Problem:
    what = f"{counted(budget, 'retrain')} will not do for {design.label}: it needs {design.least_draws:,} at least"
    return Problem(what, where, f"write {design.least_draws} or more; hundreds give a first picture, thousands values")


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
        reasons = [value_method(name).accepts(design) for design in made]
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
            reason = value_method(campaign.retrains.until.value).accepts(design)
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
    return tuple(
        name
        for name, method in VALUES.items()
        if any(not method.accepts(design) for design in designs) and (train_losses or not method.needs_train_losses)
    )
