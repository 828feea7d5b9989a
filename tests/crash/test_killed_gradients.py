"""kill -9 of the driver among the blocks of gradient values: resumed to the same files, and no block twice."""

import os
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from test_kill_driver import end_tree, finish, start

JOB = """
name: killed
seed: 7
data: {{train: train.npz, test: test.npz}}
learner: {{kind: torch, model: net.py:Net, epochs: 8, batch_size: 10, optimizer: {{name: sgd, lr: 0.2, momentum: 0.5}}}}
campaigns: [{{design: bernoulli, probability: 0.5, retrains: 4}}]
cluster: {{address: {address}}}
workers: {{count: 2}}
gradients:
  - {{method: tracin_cp}}
  - {{method: sgd_influence}}
"""
# slow where gradients are taken and losses measured, and as quick as ever in training
NET = """
import time
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        if not self.training:
            time.sleep(0.04)
        return self.layer(x)
"""
# the same in training; elsewhere it tells each time that it is asked
TICKING = NET.replace(
    "time.sleep(0.04)",
    """time.sleep(0.002)
            with open(os.path.join(os.environ["COUNTS"], "ticks"), "ab") as ticks:
                ticks.write(b".")""",
).replace("import time", "import os\nimport time")
SOLVED = """\
  - {{method: influence_function, name: solved, curvature: lissa, batch: 5, depth: 300, scaling: 4.0, tolerance: 10.0}}
"""
SCORES = ("gradient-", "self-")
BLOCKS = 8 * 2 + 3
"""A block of scores and one of self-influence a checkpoint, and three blocks of 64 of 150 tests."""


def job_in(folder: Path, address: str, template: Path, *, net: str = NET, more: str = "") -> Path:
    folder.mkdir()
    generator = np.random.default_rng(3)
    for name, rows in (("train", 30), ("test", 150)):
        X = generator.normal(size=(rows, 3)).astype(np.float32)
        np.savez(folder / f"{name}.npz", X=X, y=(X[:, 0] + 0.3 * generator.normal(size=rows) > 0).astype(np.int64))
    (folder / "net.py").write_text(net, encoding="utf-8")
    (folder / "job.yaml").write_text((JOB + more).format(address=address), encoding="utf-8")
    (folder / "apportion.db").write_bytes(template.read_bytes())
    (folder / "counts").mkdir()
    return folder / "job.yaml"


def files(job: Path) -> dict[str, tuple[int, int]]:
    """Blocks, models and runs of gradient methods: inode and time of writing by name."""
    found = (path for path in job.parent.rglob("*.safetensors") if not path.name.startswith("."))
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def blocks(names: dict[str, tuple[int, int]]) -> int:
    return sum(name.startswith(SCORES) for name in names)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, template_database: Path) -> set[str]:
    """Names, which hold hashes of contents."""
    job = job_in(tmp_path_factory.mktemp("clean") / "job", "in_process", template_database)
    assert finish("run", job) == 0, (job.parent / "log.txt").read_text()
    names = files(job)
    assert blocks(names) == BLOCKS
    return set(names)


def killed_and_resumed(folder: Path, address: str, template: Path, *, after: int) -> tuple[set[str], int, int]:
    """Names in the end; blocks that stood when the driver was resumed; blocks that the resumed one computed."""
    job = job_in(folder / f"after-{after}", address, template)
    process = start("run", job)
    deadline = time.monotonic() + 240
    while blocks(files(job)) < after and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    end_tree(process, everything=False)
    time.sleep(2.0)  # workers on Ray may still finish the block in hand
    before = files(job)
    assert after <= blocks(before) < BLOCKS, (job.parent / "log.txt").read_text()
    (job.parent / "log.txt").write_text("")
    assert finish("resume", job) == 0, (job.parent / "log.txt").read_text()
    said, now = (job.parent / "log.txt").read_text(), files(job)
    assert {name: now[name] for name in before} == before  # nothing that stood was written again
    assert "training a model" not in said
    assert before.keys() & {name for name in now if name.startswith("trajectory-")}
    computed = sum(int(found[1]) for found in re.finditer(r"(\d+) of \d+ blocks of gradient values", said))
    return set(now), blocks(before), computed


def test_a_driver_killed_among_blocks_is_resumed_to_the_same_files(
    tmp_path: Path, template_database: Path, undisturbed: set[str]
) -> None:
    for after in (5, BLOCKS - 2):  # in the blocks of a trajectory, and in those of the run unrolled
        names, stood, computed = killed_and_resumed(tmp_path, "in_process", template_database, after=after)
        assert names == undisturbed
        assert computed == BLOCKS - stood


@pytest.mark.slow
def test_a_driver_killed_in_mid_solve_and_in_mid_block_is_resumed_to_the_same_files(
    tmp_path: Path, template_database: Path
) -> None:
    clean = job_in(tmp_path / "clean", "in_process", template_database, net=TICKING, more=SOLVED)
    assert finish("run", clean) == 0, (clean.parent / "log.txt").read_text()
    for entry, asked in (("solved", 60), ("sgd_influence", 8)):
        job = job_in(tmp_path / entry, "in_process", template_database, net=TICKING, more=SOLVED)
        process = start("run", job)
        stood = killed_within(job, process, entry, asked)
        before = files(job)
        assert blocks(before) == stood, "the block in hand was not killed in its middle"
        assert finish("resume", job) == 0, (job.parent / "log.txt").read_text()
        assert {name: files(job)[name] for name in before} == before
        assert set(files(job)) == set(files(clean))


def killed_within(job: Path, process: subprocess.Popen[bytes], entry: str, asked: int) -> int:
    """Kill the driver once the model was asked so often since the entry's first block began; blocks at that time."""
    ticks, log, deadline = job.parent / "counts" / "ticks", job.parent / "log.txt", time.monotonic() + 200
    while f"{entry}: " not in log.read_text() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    stood, begun = blocks(files(job)), ticks.stat().st_size
    while ticks.stat().st_size < begun + asked and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert process.poll() is None, log.read_text()
    end_tree(process, everything=False)
    return stood


@pytest.mark.ray
@pytest.mark.slow
def test_a_driver_killed_among_blocks_on_ray_is_resumed_to_the_same_files(
    tmp_path: Path, template_database: Path, undisturbed: set[str]
) -> None:
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    names, stood, computed = killed_and_resumed(tmp_path, "local", template_database, after=5)
    assert names == undisturbed  # those of blocks computed in one process as well
    assert computed == BLOCKS - stood
