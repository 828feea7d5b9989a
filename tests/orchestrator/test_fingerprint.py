"""Fingerprints change with whatever changes losses, and with nothing else."""

import dataclasses

import numpy as np
import pytest
from good_job import ROWS, arrays, write_good_job

from orchestrator.data.datasets import load_data
from orchestrator.data.memory import arrays_data
from orchestrator.fingerprint import explain_difference, fingerprints, learner_facts
from orchestrator.jobs.job import Job
from orchestrator.jobs.job_file import load_job
from workers.learner_specs import CheckpointSpec, LogisticRegressionSpec, OptimizerSpec, ScheduleSpec, TorchSpec
from workers.torch_specs import EarlyStoppingSpec
from workers.user_code import snapshot_code

LEARNER = LogisticRegressionSpec()


def prints(learner=LEARNER, code=None, **changed):
    options = {name: changed.pop(name) for name in ("weights", "groups") if name in changed}
    data = arrays() | changed
    spec = arrays_data(data["X"], data["y"], data["X_test"], data["y_test"], **options)
    job = Job(name="a", data=spec, learner=LEARNER, campaigns=[{"design": "leave_one_out"}])
    return fingerprints(load_data(job), learner, code)


def flipped(y):
    y[0] = 1 - y[0]
    return y


def test_the_same_job_has_the_same_fingerprints_from_file_and_memory(tmp_path):
    job = load_job(write_good_job(tmp_path))

    assert fingerprints(load_data(job), LEARNER, None) == prints()


DATA_CHANGES = {
    "a label": ({"y": flipped(arrays()["y"])}, ("train",)),
    "the order of rows": ({"X": arrays()["X"][::-1], "y": arrays()["y"][::-1]}, ("train",)),
    "a row less": ({"X": arrays()["X"][1:], "y": arrays()["y"][1:]}, ("train",)),
    "the number format": (
        {name: arrays()[name].astype(np.float32).astype(np.float64) for name in ("X", "X_test")},
        ("train", "test"),
    ),
    "weights": ({"weights": np.ones(ROWS)}, ("train",)),
    "groups": ({"groups": np.arange(ROWS) % 4}, ("train",)),
    "test rows": ({"X_test": arrays()["X_test"][:5], "y_test": arrays()["y_test"][:5]}, ("test",)),
    "a test row's value": ({"X_test": arrays()["X_test"] + 1e-12}, ("test",)),
}


@pytest.mark.parametrize("change", DATA_CHANGES, ids=str)
def test_changed_data_are_named(change):
    changed, parts = DATA_CHANGES[change]

    assert prints().differing(prints(**changed)) == parts


def test_float32_and_float64_of_equal_values_differ_since_they_train_differently():
    whole = {name: np.round(arrays()[name] * 8) for name in ("X", "X_test")}
    narrow = {name: array.astype(np.float32) for name, array in whole.items()}

    assert prints(**whole).differing(prints(**narrow)) == ("train", "test")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(TorchSpec) if field.name != "kind"])
def test_every_option_of_a_learner_counts_but_those_that_move_no_loss(field):
    other = {
        "model": "m.py:Other",
        "arguments": {"hidden": 3},
        "epochs": 11,
        "batch_size": 64,
        "losses": ("zero_one",),
        "optimizer": OptimizerSpec(momentum=0.5),
        "schedule": ScheduleSpec(name="cosine"),
        "train_losses": False,
        "seed": 1,
        "device": "cpu",
        "together": 4,
        "keep": True,
        "checkpoint": CheckpointSpec(every=60.0),
        "loss": "m.py:loss",
        "label_smoothing": 0.1,
        "class_weights": {"a": 2.0},
        "clip_norm": 1.0,
        "early_stopping": EarlyStoppingSpec(),
        "augment": "m.py:augment",
        "precision": "tf32",
        "cuda_graphs": True,
    }
    spec = TorchSpec(model="m.py:Net")

    differs = learner_facts(spec) != learner_facts(dataclasses.replace(spec, **{field: other[field]}))

    without = {"together", "device", "keep", "checkpoint", "cuda_graphs", "losses", "train_losses"}
    assert differs == (field not in without)


def test_a_learner_s_option_is_named_in_words():
    other = LogisticRegressionSpec(c=2.0)
    text = explain_difference(
        prints(), prints(other), stored_facts=learner_facts(LEARNER), now_facts=learner_facts(other)
    )

    assert "the learner" in text
    assert "c: 1.0 in the store, 2.0 now" in text
    assert "another `name`" in text
    assert "training set" not in text


def test_equal_fingerprints_need_no_words():
    assert explain_difference(prints(), prints()) == ""


def test_a_changed_source_file_changes_the_code_alone(tmp_path):
    (tmp_path / "model.py").write_text("from part import size\nclass Net: pass\n")
    (tmp_path / "part.py").write_text("size = 3\n")
    before = prints(code=snapshot_code(str(tmp_path), "model.py:Net"))
    (tmp_path / "part.py").write_text("size = 4\n")
    after = prints(code=snapshot_code(str(tmp_path), "model.py:Net"))

    assert before.differing(after) == ("code",)


def test_where_the_job_file_stands_does_not_matter(tmp_path):
    results = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.py").write_text("class Net: pass\n")
        results.append(prints(code=snapshot_code(str(folder), "model.py:Net")))

    assert results[0] == results[1]
