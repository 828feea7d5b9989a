"""How long do commands take on a job of 10^6 retrains?

A small job is run for its MLflow store; then the files of all its retrains are written (random losses under the keys of
its plan) and `run` is asked to go on, which finds everything there. Each command is then a process of its own, as a
person types it.

    python benchmarks/large_job.py [RETRAINS [FOLDER]]      the job is made in FOLDER, or taken from there
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness.table import machine, print_table
from orchestrator.jobs.job_file import load_job
from orchestrator.results import open_result, stored_job
from workers.chunk_file import chunk_name, encode
from workers.task_rows import rows_of

N, N_TEST, ROWS_A_FILE, LOSS = 200, 20, 20_000, "cross_entropy"
JOB = """
name: large
data: {{train: data.py:load}}
learner: {{kind: function, function: data.py:losses, deterministic: true}}
campaigns:
  - {{design: bernoulli, probability: 0.5, retrains: {retrains}}}
values: [banzhaf_sample_reuse]
cluster: {{address: in_process}}
"""
CODE = f"""
import numpy as np

def load():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=({N} + {N_TEST}, 5)), rng.integers(0, 2, {N} + {N_TEST})
    return {{"X": X[:{N}], "y": y[:{N}], "X_test": X[{N}:], "y_test": y[{N}:]}}

def losses(members, seed, *, folder=None):
    return {{"{LOSS}": np.abs(np.cos(members.sum() + np.arange({N_TEST}.0))).astype(np.float32)}}
"""
COMMANDS = (
    ("status", []),
    ("query", ["select size, avg(loss_at(5)) as loss from retrains group by size order by size limit 3"]),
    ("query", ["select avg(loss_at(5)) as loss from retrains where has(17)"]),
    ("values", ["--value", "banzhaf_sample_reuse"]),
    ("explain", ["--test", "5"]),
    ("report", []),
    ("verify", []),
)


def typed(folder: Path, name: str, *words: str) -> tuple[str, str]:
    """Seconds of one command, by the clock and of CPU, and what it said."""
    began, used = time.perf_counter(), cpu_seconds()
    line = [sys.executable, "-m", "orchestrator", name, "job.yaml", *words]
    done = subprocess.run(
        line, cwd=folder, env={**os.environ, "PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return f"{time.perf_counter() - began:.1f} ({cpu_seconds() - used:.1f})", done.stdout


def cpu_seconds() -> float:
    """Of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fill(folder: Path, retrains: int) -> None:
    """Write the chunks of all retrains that the job lacks."""
    (folder / "job.yaml").write_text(JOB.format(retrains=retrains), encoding="utf-8")
    stored = stored_job(load_job(folder / "job.yaml"))
    stored.store.refresh()
    [campaign] = open_result(stored.job).campaigns
    chunks, rng = stored.runs[0].chunk_store(), np.random.default_rng(2)
    header = stored.store.keys(stored.store.files()[0]).header
    facts = replace(campaign.plan.facts, chunk_rows=ROWS_A_FILE)
    plan = type(campaign.plan)(facts, campaign.plan.design, stored.loaded.train_identities, retrains)
    known = set(campaign.row_ids())
    for task in plan.tasks(set(plan.row_ids()) - known):
        rows = rows_of(
            task,
            seconds=np.ones(task.rows, dtype=np.float32),
            attempts=1,
            losses={LOSS: rng.random((task.rows, N_TEST), dtype=np.float32)},
        )
        content = encode(replace(header, chunk=task.chunk + 1_000), rows)
        chunks.put(chunk_name(task.chunk + 1_000, task.keys, task.replicates, content), content)


def made(folder: Path, retrains: int) -> str:
    """The finished job in the folder; seconds of the run that finds all of it there."""
    folder.mkdir(exist_ok=True)
    (folder / "data.py").write_text(CODE, encoding="utf-8")
    (folder / "job.yaml").write_text(JOB.format(retrains=100), encoding="utf-8")
    typed(folder, "run")
    fill(folder, retrains)
    return typed(folder, "run")[0]


def main(retrains: int, folder: Path) -> None:
    """Make the job, then time each command."""
    table = []
    if not (folder / "large-report.html").exists():
        table.append(("run (all is there: values, report, manifest)", made(folder, retrains)))
    for name, words in COMMANDS:
        seconds, said = typed(folder, name, *words)
        assert name != "status" or f"{retrains + 2:,} of {retrains + 2:,} retrains" in said, said
        table.append((" ".join([name, *words]), seconds))
    print(machine("pyarrow"))
    print(f"{retrains:,} retrains, n = {N}, n_test = {N_TEST}, {ROWS_A_FILE:,} rows a file:")
    print_table(("command", "s (CPU s)"), table)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        chosen = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(place)
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, chosen)
