"""`apportion query`: one SELECT over the store."""

import os
import sys
from pathlib import Path

import click

from orchestrator.errors import JobError
from orchestrator.jobs.job_file import load_job
from orchestrator.query.engine import Limits, answer, too_slow
from orchestrator.query.output import WRITERS
from orchestrator.query.views import views_of
from orchestrator.replaced_file import replaced_file
from orchestrator.results import open_stored
from orchestrator.wording import did_you_mean

HELP = """Answer one SELECT (DuckDB SQL) over the store of JOB; it is only read, also while a campaign runs.

\b
retrains   key, replicate, size, seed, campaign, chunk, seconds, attempts, worker,
           mean_<loss>, loss_<loss> (a list over test instances), losses (the first loss), members (bits)
losses     key, replicate, test_index, loss_name, loss
members    key, replicate, train_index
failures   key, replicate, campaign, file, reason
campaigns  campaign, name, in_job, state, design, parameters, seed, draws, together, losses,
           rows_written, bytes, seconds, run_id
chunks     campaign, file, rows, failed, seconds, bytes, numeric_class, together, losses
train      train_index, identity, name, label, known_label_error, and your own columns
test       test_index, identity, name, label, and your own columns
influence  value, campaign (null: a gradient method), loss, train_index, test_index (null: the data value),
           influence, standard_error,
           rows (of which it was computed: apportion verify --values FILE tells when an answer is stale)
gradients  value, method, gives, scale, whole, loss, damping, residual, tolerance, stationarity, warnings, notes

On `retrains`, loss_at(5) is the first loss on test instance 5, loss_zero_one[6] another loss on it (lists count
from 1), and has(17) whether training instance 17 is in the subset.

\b
Examples:
  apportion query job.yaml "select size, avg(loss_at(5)) from retrains group by size order by size"
  apportion query job.yaml "select avg(loss_at(5)) from retrains where has(17) and not has(3)"
  apportion query job.yaml "select key, loss from losses where test_index = 5 order by loss desc limit 100"
  apportion query job.yaml "select train_index, influence from influence where value = 'banzhaf'
      and test_index is null order by influence" -o values.csv
"""


@click.command(name="query", help=HELP)
@click.argument("job", type=click.Path(path_type=Path))
@click.argument("statement")
@click.option("--format", "file_format", type=click.Choice(list(WRITERS)), help="Default: by FILE's ending, or table.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write; default: show it.")
@click.option("--memory", type=click.FloatRange(min=0.05), default=1.0, show_default=True, help="In GB.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="Longest wait.")
def command(
    *, job: Path, statement: str, file_format: str | None, output: Path | None, memory: float, seconds: float
) -> None:
    """Parse, ask, write."""
    chosen = _format(file_format, output)
    stored = open_stored(load_job(job))
    limits = Limits(memory=int(memory * 10**9), seconds=seconds, abandon=lambda: _abandon(Limits(seconds=seconds)))
    with answer(statement, views_of(stored, _say), limits) as reader:
        if output is None:
            WRITERS[chosen](reader, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with replaced_file(output) as stream:
                rows = WRITERS[chosen](reader, stream)
            click.echo(f"wrote {rows:,} rows to {output}")
    if chosen == "table":
        click.echo("\nNext: the same with -o FILE.csv (or .json, .parquet); apportion query --help lists the columns")


def _format(given: str | None, output: Path | None) -> str:
    if given == "parquet" and output is None:
        raise JobError("Parquet is no text to show", where="--format", mend="name a file: -o answer.parquet")
    if given is not None or output is None:
        return given or "table"
    ending = output.suffix.removeprefix(".").lower()
    if ending not in WRITERS:
        mend = did_you_mean(ending, WRITERS) or f"use --format {'|'.join(WRITERS)}"
        raise JobError(f"the ending {output.suffix!r} names no format", where=str(output), mend=mend)
    return ending


def _abandon(limits: Limits) -> None:
    """End the process: one call inside the question neither ends nor lets itself be interrupted."""
    click.echo(f"error: {too_slow(limits)}", err=True)
    sys.stderr.flush()
    os._exit(JobError.exit_code)


def _say(text: str) -> None:
    click.echo(text, err=True)
