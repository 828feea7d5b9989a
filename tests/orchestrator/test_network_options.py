"""Options of networks from the job file to the learner: validation set, functions of the user's, fingerprints."""

from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import JobError
from orchestrator.fingerprint import learner_facts
from orchestrator.jobs.job_file import load_job
from orchestrator.preparation import Prepared, prepare
from workers.errors import LearnerError
from workers.learner_specs import TorchSpec

CODE = """
import torch
from torch.nn import functional

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(3, 2)
    def forward(self, x):
        return self.out(x)

def hinge(outputs, labels):
    return functional.multi_margin_loss(outputs, labels, reduction="none")

def jitter(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator)
"""
JOB = """
name: options
data: {train: train.npz, test: test.npz, validation: held.npz}
learner:
  kind: torch
  model: model.py:Net
  epochs: 3
  together: 4
  loss: model.py:hinge
  augment: model.py:jitter
  class_weights: {cat: 2.0}
  clip_norm: 1.0
  early_stopping: {patience: 2}
  losses: [cross_entropy, "model.py:hinge"]
campaigns: [{design: bernoulli, probability: 0.5, retrains: 8}]
cluster: {address: in_process}
"""


def prepared(folder: Path, text: str = JOB, held_labels: tuple[str, ...] = ("cat", "dog")) -> Prepared:
    random = np.random.default_rng(0)
    for name, rows, labels in (("train", 24, ("cat", "dog")), ("test", 6, ("cat", "dog")), ("held", 10, held_labels)):
        X = random.normal(size=(rows, 3)).astype(np.float32)
        np.savez(folder / f"{name}.npz", X=X, y=np.array(labels)[np.arange(rows) % len(labels)])
    (folder / "model.py").write_text(CODE)
    (folder / "job.yaml").write_text(text)
    return prepare(load_job(folder / "job.yaml"), lambda _: None)


def test_a_job_file_gives_every_option_to_the_learner(tmp_path: Path) -> None:
    learner = prepared(tmp_path).learner()
    assert learner.losses == ("cross_entropy", "hinge")
    members = np.random.default_rng(1).random((3, 24)) < 0.5
    found = learner.retrain(members, np.arange(3, dtype=np.uint64))
    assert np.isfinite(found.test["hinge"]).all()


def test_the_validation_set_belongs_to_the_fingerprint_only_where_retrains_stop_by_it(tmp_path: Path) -> None:
    first = prepared(tmp_path).fingerprints
    assert prepared(tmp_path, held_labels=("dog", "cat")).fingerprints.differing(first) == ("learner",)
    plain = JOB.replace("  early_stopping: {patience: 2}\n", "")
    before = prepared(tmp_path, plain).fingerprints
    assert prepared(tmp_path, plain, held_labels=("dog", "cat")).fingerprints == before


def test_options_at_their_defaults_leave_older_fingerprints_as_they_were() -> None:
    assert set(learner_facts(TorchSpec(model="model.py:Net"))) == {
        *("model", "kind", "arguments", "epochs", "batch_size", "seed"),
        *(f"optimizer.{name}" for name in ("name", "lr", "momentum", "nesterov", "weight_decay", "betas", "eps")),
        *(f"schedule.{name}" for name in ("name", "warmup", "every", "gamma")),
    }


def test_a_validation_set_of_another_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"(?s)no class cow.*the classes of training and test set are cat, dog"):
        prepared(tmp_path, held_labels=("cat", "cow"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", validation: held.npz", "", r"data\.validation"),
        ("loss: model.py:hinge", "loss: losses.py:hinge", "another file than the model"),
        ("{cat: 2.0}", "{cow: 2.0}", "no class cow; the classes are cat, dog"),
        ("augment: model.py:jitter", "augment: model.py:Net", "is a type, expected a function"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_mend(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(LearnerError, match=message):
        prepared(tmp_path, JOB.replace(old, new)).learner()
