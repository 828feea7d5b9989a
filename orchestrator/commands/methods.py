"""`apportion methods`: values, gradient methods and designs, with paper and cost."""

from pathlib import Path

import click

from estimators.gradient.methods import GradientMethod
from estimators.gradient.registry import GRADIENTS
from estimators.interactions.indices import INTERACTIONS
from estimators.registry import DESIGNS, VALUES, design_entry, value_method
from orchestrator.checks.designs import EXAMPLES
from orchestrator.errors import JobError
from orchestrator.gradients.reading import gradient_spec
from orchestrator.jobs.job import DESIGN_KEYS
from orchestrator.jobs.job_file import load_job
from orchestrator.pooling import pooled
from orchestrator.results import JobResult, open_result
from workers.gradient_served import READERS


@click.command(name="methods")
@click.argument("name", required=False)
@click.option(
    "--job", type=click.Path(path_type=Path), help="A job: say of each value whether its store can answer it already."
)
def command(name: str | None, job: Path | None) -> None:
    """List values, gradient methods and designs, or show one of them in full.

    Example: apportion methods banzhaf
    """
    if job is not None:
        _answers(job, [name] if name else list(VALUES))
        return
    if name is not None:
        if name in DESIGNS:
            _show_design(name)
        if name in VALUES or name not in DESIGNS:
            _show(name)
        return
    click.echo("Values (from the losses of retrains):")
    for method in VALUES.values():
        click.echo(f"  {method.name:<22} {method.title}; from {', '.join(method.designs)}")
        click.echo(f"  {'':<22} {method.paper}; {method.equation}; cost: {method.cost}")
    click.echo("\nInteractions of pairs (apportion interactions JOB):")
    for index in INTERACTIONS.values():
        click.echo(f"  {index.name:<28} {index.title}; {index.paper}")
    click.echo("\nGradient methods (`gradients:` in the job file; from one training run, no retrains):")
    for each in GRADIENTS.values():
        click.echo(f"  {each.name:<24} {each.title}; {each.scale}, {_served(each)}")
        click.echo(f"  {'':<24} {_source(each)}")
    click.echo("\nDesigns (which subsets are trained):")
    for entry in DESIGNS.values():
        click.echo(f"  {entry.name:<16} {entry.title}")
    click.echo("\nNext: apportion methods banzhaf, or apportion plan JOB")


def _answers(job: Path, names: list[str]) -> None:
    """Of each value the campaigns that answer it now, or why none does and which design to run."""
    result = open_result(load_job(job))
    for spec in result.job.gradients:
        if spec.label in names or names == list(VALUES):
            click.echo(f"  {spec.label:<22} {_gradient_answer(result, spec.label)}")
    for name in names:
        if gradient_spec(result.job, name) is not None:
            continue
        reasons = {campaign.name: campaign.why_not(name) for campaign in result.campaigns}
        able = [campaign for campaign, reason in reasons.items() if not reason]
        together = pooled(result.campaigns)
        if able:
            click.echo(f"  {name:<22} yes, from {', '.join(able)}")
        elif together is not None and not together.why_not(name):
            click.echo(f"  {name:<22} yes, from {' and '.join(each.name for each in together.campaigns)} pooled")
        else:
            click.echo(
                f"  {name:<22} no: {'; '.join(dict.fromkeys(reasons.values())) or 'no campaign has retrains yet'}"
            )
    click.echo(f"\nNext: apportion values {job} --value NAME")


def _gradient_answer(result: JobResult, label: str) -> str:
    try:
        found = result.gradient(label)
    except JobError as error:
        return f"no: {error.problems[0].what}"
    return f"yes, by gradients: {found.spec.given}"


def _show_design(name: str) -> None:
    entry = design_entry(name)
    takes = [each for each in entry.parameters if each in DESIGN_KEYS]
    served = [method.name for method in VALUES.values() if name in method.designs]
    rows = {
        "design": f"{entry.name}: {entry.title}",
        "takes": ", ".join(takes) or "no parameters",
        "law": entry.law,
        "cost": entry.cost,
        "for": ", ".join(served) or "any value that its law permits",
    }
    for key, text in rows.items():
        click.echo(f"{key:<8} {text}")
    example = "".join(f", {EXAMPLES[each]}" for each in entry.one_of[:1] if each in EXAMPLES)
    click.echo(f"\nNext: put it under `campaigns:`, for example {{design: {name}{example}, retrains: 2000}}")


def _served(method: GradientMethod) -> str:
    return "from Python only" if method.runner == "python" else f"needs {method.needs}"


def _source(method: GradientMethod) -> str:
    return f"{method.paper}; {method.equation}" if method.equation else method.paper


def _show_gradient(method: GradientMethod) -> None:
    rows = {
        "method": f"{method.name}: {method.title}",
        "formula": method.formula,
        "source": _source(method),
        "scale": "a difference of losses"
        if method.scale == "loss"
        else "a ranking: only order and ratios mean something",
        "needs": method.needs,
    }
    own = [name for name, readers in READERS.items() if method.name in readers]
    if own:
        rows["takes"] = ", ".join(own)
    for key, text in rows.items():
        click.echo(f"{key:<8} {text}")
    if method.runner == "python":
        click.echo(f"no job carries it out: {method.refused}\n\nNext: from Python, {method.function}")
    else:
        groups = ", groups: class" if method.runner == "groups" else ""
        click.echo(f"\nNext: put {{method: {method.name}{groups}}} under `gradients:` in the job file")


def _show(name: str) -> None:
    if name in GRADIENTS:
        _show_gradient(GRADIENTS[name])
        return
    method = value_method(name)
    rows = {
        "value": f"{method.name}: {method.title}",
        "meaning": method.meaning,
        "formula": method.formula,
        "source": f"{method.paper} ({method.equation})",
        "designs": ", ".join(method.designs),
        "gives": "one number an instance" if method.per_instance else "a matrix [n, n_test] and data values [n]",
        "cost": method.cost,
    }
    for key, text in rows.items():
        click.echo(f"{key:<8} {text}")
    for option, taken in method.takes.items():
        click.echo(f"option   {option}: {taken.meaning}, {taken.rule} (default {taken.default:g})")
    if method.needs_train_losses:
        click.echo("needs    losses on the training instances (`train_losses: true`)")
    click.echo(f"\nNext: put it under `values:` in the job file, then apportion values JOB --value {name}")
