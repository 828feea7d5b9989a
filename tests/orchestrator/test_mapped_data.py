"""Data larger than memory: mapped, never loaded, hashed by the block, and trained on by the batch to the same bits."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from orchestrator.data.datasets import load_data
from orchestrator.errors import JobError
from orchestrator.fingerprint import fingerprints
from orchestrator.jobs.job import Job
from orchestrator.preparation import prepare, smoke
from workers.errors import LearnerError
from workers.mapped_array import is_mapped, mapped, written_over

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs=12):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.layers(x)
"""


def arrays(rows=90, columns=12):
    random = np.random.default_rng(1)
    X = random.normal(size=(rows + 20, columns)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    return X[:rows], y[:rows], X[rows:], y[rows:]


def written(folder: Path, kind: str) -> dict:
    X, y, X_test, y_test = arrays()
    np.savez(folder / "test.npz", X=X_test, y=y_test)
    if kind == "folder":
        (folder / "train").mkdir()
        np.save(folder / "train" / "X.npy", X)
        np.save(folder / "train" / "y.npy", y)
        return {"train": "train", "test": "test.npz"}
    (np.savez if kind == "stored" else np.savez_compressed)(folder / "train.npz", X=X, y=y)
    return {"train": "train.npz", "test": "test.npz"}


def a_job(folder: Path, data: dict, **learner) -> Job:
    (folder / "model.py").write_text(MODEL)
    options = {"kind": "torch", "model": "model.py:Net", "epochs": 2, "batch_size": 16} | learner
    return Job.model_validate(
        {
            "name": "mapped",
            "data": data,
            "learner": options,
            "campaigns": [{"design": "uniform", "fraction": 0.7, "retrains": 4}],
            "folder": folder,
            "cluster": {"address": "in_process"},
        }
    )


@pytest.mark.parametrize("kind", ["folder", "stored"])
def test_mapped_data_are_the_same_data(tmp_path, kind):
    data = written(tmp_path, kind)
    stays = load_data(a_job(tmp_path, data | {"memory_map": "always"}))
    loaded = load_data(a_job(tmp_path, data | {"memory_map": "never"}))
    assert is_mapped(stays.dataset.train_features)
    assert not is_mapped(loaded.dataset.train_features)
    np.testing.assert_array_equal(stays.dataset.train_features, loaded.dataset.train_features)
    job = a_job(tmp_path, data)
    assert fingerprints(stays, job.learner, None) == fingerprints(loaded, job.learner, None)


@pytest.mark.parametrize("together", [1, 4])
def test_networks_trained_on_mapped_data_have_the_same_bits(tmp_path, together):
    data, members = written(tmp_path, "stored"), np.random.default_rng(0).random((4, 90)) < 0.6
    losses = []
    for memory_map in ("always", "never"):
        job = a_job(tmp_path, data | {"memory_map": memory_map}, together=together)
        prepared = prepare(job, print)
        smoke(prepared)
        losses.append(prepared.learner().retrain(members, np.arange(4, dtype=np.uint64)))
    for name, values in losses[0].test.items():
        assert values.tobytes() == losses[1].test[name].tobytes()
        assert losses[0].train[name].tobytes() == losses[1].train[name].tobytes()


def test_a_mapped_array_travels_by_name_and_a_part_of_it_by_value(tmp_path):
    X, *_ = arrays()
    np.save(tmp_path / "X.npy", X)
    array = mapped(str(tmp_path / "X.npy"), "<f4", X.shape, 128)
    sent = pickle.dumps(array)
    assert len(sent) < 1000
    again = pickle.loads(sent)
    assert is_mapped(again)
    np.testing.assert_array_equal(again, X)
    part = pickle.loads(pickle.dumps(array[3:5]))
    assert not is_mapped(array[3:5])
    np.testing.assert_array_equal(part, X[3:5])
    copy = written_over(array)
    copy[0] = 7.0
    np.testing.assert_array_equal(array, X)
    (tmp_path / "X.npy").unlink()
    with pytest.raises(LearnerError, match="cannot be mapped on this machine"):
        pickle.loads(sent)


@pytest.mark.parametrize(
    ("dtype", "kind", "learner", "words"),
    [
        (np.float64, "stored", {}, "save them as float32"),
        (np.float32, "compressed", {}, "is compressed"),
        (np.float32, "stored", {"kind": "logistic_regression"}, "copies them into memory"),
    ],
)
def test_what_cannot_stay_in_its_file_is_said(tmp_path, dtype, kind, learner, words):
    data = written(tmp_path, kind)
    X, y, *_ = arrays()
    (np.savez if kind == "stored" else np.savez_compressed)(tmp_path / "train.npz", X=X.astype(dtype), y=y)
    job = a_job(tmp_path, data | {"memory_map": "always"})
    if learner:
        job = Job.model_validate(job.model_dump(exclude={"learner"}) | {"learner": learner, "folder": tmp_path})
    with pytest.raises(JobError, match=words):
        prepare(job, print)


def test_a_folder_without_labels_is_refused_by_name(tmp_path):
    data = written(tmp_path, "folder")
    (tmp_path / "train" / "y.npy").rename(tmp_path / "train" / "label.npy")
    with pytest.raises(JobError, match=r"no file `y\.npy`; there are `?X"):
        load_data(a_job(tmp_path, data))


def test_training_data_larger_than_the_memory_allowed_are_trained_on(tmp_path):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    command = [sys.executable, str(HERE / "larger_than_memory.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["loading it whole: MemoryError", "trained", "checked"]
