"""Designs and budgets of a job: parameters, and whether they fit each other and the data."""

from collections.abc import Sequence
from dataclasses import replace

from estimators.designs import DESIGNS, Material, Parameters, design_made
from estimators.designs.protocol import Design
from estimators.designs.walk import Walk
from estimators.errors import EstimatorError
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import Problem
from orchestrator.jobs.job import DESIGN_KEYS, CampaignSpec, Job, UntilBudget
from orchestrator.wording import counted, listed, shown

WALKERS = ("torch", "logistic_regression")
"""Kinds of learners that walk."""

EXAMPLES = {
    "size": "size: 100",
    "fraction": "fraction: 0.7",
    "probability": "probability: 0.5",
    "out": "out: 5",
    "group": "group: source",
    "by": "by: class",
    "serves": "serves: shapley",
    "order": "order: antithetic",
    "truncate": "truncate: true",
    "folds": "folds: 10",
    "file": "file: subsets.npz",
    "replicates": "replicates: 3",
    "learning_rate": "learning_rate: 0.01",
}


def parameter_problems(campaign: CampaignSpec, index: int, job: Job) -> list[Problem]:
    """Parameters that a campaign's design does not take, lacks, or takes one at a time."""
    design, entry = campaign.design, DESIGNS[campaign.design]
    given = [name for name in DESIGN_KEYS if getattr(campaign, name) is not None]
    allowed = [name for name in entry.parameters if name in DESIGN_KEYS]
    where = job.origin.where("campaigns", index)
    problems = []
    for name in given:
        if name not in allowed:
            what, place = f"the design {design} has no `{name}`", job.origin.where("campaigns", index, name)
            problems.append(Problem(what, place, f"remove it; it takes {' or '.join(allowed)}"))
    fitting = [name for name in given if name in entry.one_of]
    if entry.one_of and not fitting:
        mend = f"add `{'` or `'.join(EXAMPLES[name] for name in entry.one_of)}`"
        problems.append(Problem(f"the design {design} needs {' or '.join(entry.one_of)}", where, mend))
    if len(fitting) > 1:
        problems.append(Problem(f"both {' and '.join(fitting)} are given", where, "keep one of them"))
    return problems


def alike(job: Job) -> list[Problem]:
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


def design_parameters(campaign: CampaignSpec, material: Material) -> Parameters:
    """The design's parameters, with a digest of what they name in the data: another content is another campaign."""
    said, digest = campaign.parameters(), None
    if said.file is not None and said.file in material.subsets:
        digest = material.subsets[said.file].digest()
    elif said.group is not None and said.group in material.groups:
        digest = material.digest_of(said.group)
    return replace(said, digest=digest)


def campaign_problems(job: Job, loaded: LoadedData) -> tuple[list[Problem], list[Design | None]]:
    """Problems of designs and budgets on the data, and each campaign's design, None where it cannot be made."""
    problems: list[Problem] = []
    designs: list[Design | None] = []
    for index, campaign in enumerate(job.campaigns):
        seed = job.seed if campaign.seed is None else campaign.seed
        parameters = design_parameters(campaign, loaded.material)
        try:
            design = design_made(campaign.design, parameters, n=loaded.dataset.n, seed=seed, material=loaded.material)
        except EstimatorError as error:
            designs.append(None)
            if campaign.design in DESIGNS and not parameter_problems(campaign, index, job):
                problems.append(Problem(str(error), job.origin.where("campaigns", index)))
            continue
        designs.append(design)
        problems += [*_budget_problems(campaign, design, index, job), *_walk_problems(design, index, job, loaded)]
    return problems, designs


def unit_notes(job: Job, designs: Sequence[Design | None]) -> list[str]:
    """A note where a budget is no whole number of units."""
    notes = []
    for index, (campaign, design) in enumerate(zip(job.campaigns, designs, strict=True)):
        budget = campaign.retrains
        if (
            design is None
            or not isinstance(budget, int)
            or design.draw_count is not None
            or not budget % design.unit_rows
        ):
            continue
        whole = budget - budget % design.unit_rows
        notes.append(
            f"{job.origin.where('campaigns', index, 'retrains')}: {design.label} draws {design.unit_rows:,} at a "
            f"time: {whole:,} of the {budget:,} retrains are taken"
        )
    return notes


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


def _walk_problems(design: Design, index: int, job: Job, loaded: LoadedData) -> list[Problem]:
    """Walks of a learner that takes no single steps, or over groups."""
    if not isinstance(design, Walk):
        return []
    where = job.origin.where("campaigns", index, "design")
    if isinstance(job.campaigns[index].retrains, UntilBudget):
        what = "walks have no `until`"
        return [Problem(what, job.origin.where("campaigns", index, "retrains"), "say how many: `retrains: 200`")]
    if job.learner.kind not in WALKERS:
        what = f"a learner of kind {job.learner.kind} takes no single training steps"
        mend = f"take one of the kinds {listed(WALKERS)}, or the design permutation, which retrains on prefixes"
        return [Problem(what, where, mend)]
    if loaded.dataset.groups is not None:
        return [Problem("walks go over single instances, not groups", where, "take the design permutation")]
    return []


def _too_small(budget: int, design: Design, where: str) -> Problem:
    what = f"{counted(budget, 'retrain')} will not do for {design.label}: it needs {design.least_draws:,} at least"
    return Problem(what, where, f"write {design.least_draws} or more; hundreds give a first picture, thousands values")
