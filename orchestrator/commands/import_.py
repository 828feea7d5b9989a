"""`apportion import`: rows of loops run before or elsewhere."""

from functools import cache
from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.keeping.importing import import_rows, members_of, read_arrays
from orchestrator.placement import workers_that_fit
from orchestrator.preparation import prepare, smoke
from orchestrator.progress import Screen
from orchestrator.session import open_session
from orchestrator.together_choice import ChoiceOfTogether
from orchestrator.tracking.client import prepare_environment
from orchestrator.tracking.patience import Patience
from orchestrator.tracking.tracker import Tracker
from orchestrator.wording import counted
from workers.smoke import SmokeReport

HELP = """Take losses that were computed elsewhere into JOB's campaign on the same subsets.

\b
MEMBERS  npz with members [rows, n], and log_size_law [n + 1]: the law that drew them.
         The job names the same file: campaigns: [{design: subsets_from_file, file: MEMBERS}]
LOSSES   npz with <loss> [rows, n_test], and train_<loss> [rows, n] where the job keeps those

Example: apportion import job.yaml members.npz losses.npz
"""


@click.command(name="import", help=HELP)
@click.argument("job", type=click.Path(path_type=Path))
@click.argument("members", type=click.Path(path_type=Path))
@click.argument("losses", type=click.Path(path_type=Path))
def command(job: Path, members: Path, losses: Path) -> None:
    """Parse, check, put."""
    prepare_environment()
    screen, loaded = Screen(), load_job(job)
    prepared = prepare(loaded, screen.say)
    subsets = members_of(read_arrays(members), members, prepared.loaded.dataset.n)
    found = read_arrays(losses)
    choice = ChoiceOfTogether(prepared, workers_that_fit(loaded), screen.say)

    @cache
    def report() -> SmokeReport:
        chosen = choice.get()
        return smoke(prepared, together=None if chosen is None else chosen.together)

    report()  # a learner that cheats is refused before anything is made
    tracker = Tracker.open(loaded.store, loaded.folder, loaded.name, say=screen.say, patience=Patience(screen.say))
    assert tracker is not None, "it is made where it is not there"
    with open_session(prepared, tracker, choice, report, workers_that_fit(loaded), screen.say) as session:
        done = import_rows(session, subsets, found, members_file=members, losses_file=losses)
    click.echo(f"{done.campaign}: {counted(done.rows, 'row')} taken in, {done.there} were in the store already")
    if done.repeated:
        click.echo(f"note: {counted(done.repeated, 'row')} of subsets that an earlier row has are left out")
    click.echo(f"\nNext: apportion run {job}, which trains what is missing (D and the empty subset) and reports")
