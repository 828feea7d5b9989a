"""Long retrains with checkpoints through the real driver on Ray: worker and driver killed in the middle, same bits."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from test_kill_driver import end_tree, start, stored

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(600)]

DATA = """
import json, os, time
import numpy as np

def load():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)
    return {"X": X[:40], "y": y[:40], "X_test": X[40:], "y_test": y[40:]}

def counted(seconds):
    with open(os.path.join(os.environ["COUNTS"], str(os.getpid())), "a") as stream:
        stream.write("step\\n")
    time.sleep(seconds)
"""

MODEL = """
import torch
from torch import nn
from data import counted

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        if self.training and len(x) == 8:
            counted(0.02)
            x = x + 0.1 * torch.randn(x.shape)
        return self.layers(x)
"""

FUNCTION = """
import numpy as np
from data import counted

def losses(members, seed, *, folder=None):
    # noisy gradient steps on a quadratic; what is kept: the step, and the parameters
    state = np.append(0.0, np.sin(np.flatnonzero(members) + 1.0).sum() + np.zeros(20))
    if folder is not None and (folder / "state.npy").exists():
        state = np.load(folder / "state.npy")
    for step in range(int(state[0]), 30 * (int(members.sum()) // 8)):
        counted(0.02)
        noise = np.random.default_rng([seed, step]).normal(size=20)
        state = np.append(step + 1.0, 0.97 * state[1:] + 0.1 * noise)
        if folder is not None and step % 10 == 9:
            np.save(folder / "next.npy", state)
            (folder / "next.npy").replace(folder / "state.npy")
    return {"cross_entropy": np.abs(state[1:])}
"""

LEARNERS = {
    "torch": "{kind: torch, model: model.py:Net, epochs: 30, batch_size: 8, optimizer: {name: adam, lr: 0.01},"
    " losses: [cross_entropy], checkpoint: {every: 1}}",
    "function": "{kind: function, function: model.py:losses, checkpoint: {every: 1}}",
}

CODE = {"torch": MODEL, "function": FUNCTION}

JOB = """
name: long
seed: 3
data: {{train: data.py:load}}
learner: {learner}
campaigns: [{{design: uniform, fraction: 0.7, retrains: 4}}]
cluster: {{address: local}}
"""


def job_in(folder: Path, kind: str, template: Path) -> Path:
    folder.mkdir()
    (folder / "data.py").write_text(DATA, encoding="utf-8")
    (folder / "model.py").write_text(CODE[kind], encoding="utf-8")
    (folder / "job.yaml").write_text(JOB.format(learner=LEARNERS[kind]), encoding="utf-8")
    (folder / "apportion.db").write_bytes(template.read_bytes())
    (folder / "counts").mkdir()
    return folder / "job.yaml"


def steps(job: Path) -> dict[int, int]:
    """Steps trained so far, by process."""
    return {int(path.name): len(path.read_text().splitlines()) for path in (job.parent / "counts").iterdir()}


def steps_of(size: int) -> int:
    """Steps of a whole retrain of a subset of this size."""
    return 30 * (size // 8)


def states(job: Path) -> set[tuple[Path, int]]:
    """States kept of retrains under way, and when each was written."""
    found = set()
    for path in job.parent.rglob("checkpoints/**/*.*"):
        if path.suffix == ".safetensors" or path.name == "state.npy":
            with suppress(FileNotFoundError):  # replaced meanwhile
                found.add((path, path.stat().st_mtime_ns))
    return found


def said(job: Path) -> str:
    return (job.parent / "log.txt").read_text()


def until_states(job: Path, driver: int, *, beyond: set[tuple[Path, int]]) -> int:
    """Wait until a worker has kept a state that was not there; the worker that has trained most."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        fresh = states(job) - beyond
        workers = {pid: count for pid, count in steps(job).items() if pid != driver and psutil.pid_exists(pid)}
        if fresh and workers:
            return max(workers, key=workers.__getitem__)
        time.sleep(0.02)
    raise AssertionError(f"no state was kept in time\n{said(job)}")


def rows_of(job: Path) -> dict[tuple[bytes, int], int]:
    """Rows in the store and the sizes of their subsets."""
    tables = [pq.read_table(path) for path in job.parent.rglob("*.parquet")]
    return {
        (key, replicate): size
        for table in tables
        if "loss_cross_entropy" in table.column_names
        for key, replicate, size in zip(
            *(table[name].to_pylist() for name in ("key", "replicate", "size")), strict=True
        )
    }


def finished(command: str, job: Path) -> int:
    """Carry the job out to its end; the process's id, whose own steps are those of the smoke retrain."""
    process = start(command, job)
    try:
        assert process.wait(timeout=240) == 0, said(job)
    finally:
        process.kill()
    return process.pid


@pytest.mark.parametrize("kind", LEARNERS)
def test_worker_and_driver_are_killed_in_the_middle_of_retrains_that_go_on_to_the_same_losses(
    kind: str, tmp_path: Path, template_database: Path
) -> None:
    undisturbed = job_in(tmp_path / "undisturbed", kind, template_database)
    finished("run", undisturbed)
    job = job_in(tmp_path / "killed", kind, template_database)
    driver = start("run", job)
    try:
        worker = until_states(job, driver.pid, beyond=set())
        seen = states(job)
        os.kill(worker, signal.SIGKILL)
        until_states(job, driver.pid, beyond=seen)
    finally:
        end_tree(driver, everything=True)
    known, sizes = set(steps(job)), rows_of(undisturbed)
    missing = sizes.keys() - rows_of(job).keys()
    assert missing, "nothing was left to go on with"
    again = finished("resume", job)
    assert stored(job) == stored(undisturbed)
    trained = sum(count for pid, count in steps(job).items() if pid not in {*known, again})
    from_the_beginning = sum(steps_of(sizes[row]) for row in missing)
    assert trained < from_the_beginning, "the retrains under way began again"
    assert not states(job)
