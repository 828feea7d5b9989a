"""Blocks of gradients on several devices: each worker sees one of its own, and the blocks are those of one process."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from test_killed_gradients import NET

from orchestrator import load_job, run
from orchestrator.gradients.identity import gradient_store
from orchestrator.results import stored_job

JOB = """
name: devices
seed: 7
data: {{train: train.npz, test: test.npz}}
learner: {{kind: torch, model: net.py:Net, epochs: 8, batch_size: 10, optimizer: {{name: sgd, lr: 0.2}}}}
campaigns: [{{design: bernoulli, probability: 0.5, retrains: 4}}]
cluster: {{address: {address}}}
workers: {{cpus: 1, gpus: {gpus}}}
gradients:
  - {{method: tracin_cp}}
"""


def written(folder: Path, template: Path, *, address: str = "in_process", gpus: int = 0) -> Path:
    if not (folder / "net.py").exists():
        generator = np.random.default_rng(3)
        for name, rows in (("train", 30), ("test", 20)):
            X = generator.normal(size=(rows, 3)).astype(np.float32)
            np.savez(folder / f"{name}.npz", X=X, y=(X[:, 0] > 0).astype(np.int64))
        (folder / "net.py").write_text(NET, encoding="utf-8")
        (folder / "apportion.db").write_bytes(template.read_bytes())
    text = JOB.format(address=address, gpus=gpus)
    (folder / "job.yaml").write_text(text, encoding="utf-8")
    return folder / "job.yaml"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("gpus", [0, 1])
def test_blocks_spread_over_workers_with_a_device_each(tmp_path: Path, template_database: Path, gpus: int) -> None:
    job = written(tmp_path, template_database)
    run(load_job(job))
    stored = stored_job(load_job(job))
    store = gradient_store(stored.tracker, stored.parent)
    blocks = [name for name in store.names() if name.startswith(("gradient-", "self-"))]
    assert len(blocks) == 16
    for name in blocks:
        store.remove(name)
    # a job on this machine asks for GPUs that are here; one on a cluster takes its word
    written(tmp_path, template_database, address="auto" if gpus else "local", gpus=gpus)
    (tmp_path / "seen").mkdir()
    words = [sys.executable, str(Path(__file__).with_name("gradient_devices.py")), str(job), str(tmp_path / "seen")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = [json.loads(path.read_text()) for path in (tmp_path / "seen").iterdir()]
    assert len(seen) == len(blocks)
    assert set(blocks) <= set(store.names())  # the same bits, whoever computed them
    shares = Counter(each["process"] for each in seen)
    assert len(shares) == 2
    assert min(shares.values()) >= 3
    if gpus:
        devices = {each["process"]: each["devices"] for each in seen}
        assert sorted(devices.values()) == ["0", "1"]


@pytest.mark.gpu
def test_on_a_gpu_the_values_are_those_of_the_cpu_to_rounding(
    tmp_path: Path, template_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for device in ("cuda", "cpu"):  # in one process a job takes the GPU where there is one
        (tmp_path / device).mkdir()
        found.append(run(load_job(written(tmp_path / device, template_database))).values("tracin_cp").values)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    np.testing.assert_allclose(found[0], found[1], atol=1e-4 * np.abs(found[1]).max())
