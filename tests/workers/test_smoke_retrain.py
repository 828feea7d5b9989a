"""The smoke retrain lets honest learners through and catches each kind of cheat."""

import dataclasses
import warnings

import numpy as np
import pytest
from learner_data import classification_data, regression_data
from torch import nn

from workers.errors import LearnerError
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import (
    FunctionSpec,
    LinearSvmSpec,
    LogisticRegressionSpec,
    RidgeSpec,
    ScikitLearnSpec,
    TorchSpec,
)
from workers.learners import make_learner
from workers.learners.function import function_learner
from workers.learners.torch_learner import TorchLearner
from workers.learners.torch_together import TogetherTrainer
from workers.smoke import smoke_retrain


class TinyNet(nn.Linear):
    def __init__(self):
        super().__init__(4, 3)


SPECS = {
    "ridge": (RidgeSpec(), regression_data()),
    "logistic_regression": (LogisticRegressionSpec(), classification_data()),
    "linear_svm": (LinearSvmSpec(), classification_data()),
    "classifier": (
        ScikitLearnSpec(estimator="sklearn.ensemble.ExtraTreesClassifier", arguments={"n_estimators": 3}),
        classification_data(),
    ),
    "labels": (ScikitLearnSpec(estimator="sklearn.svm.LinearSVC"), classification_data()),
    "regressor": (ScikitLearnSpec(estimator="sklearn.linear_model.BayesianRidge"), regression_data()),
}


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", SPECS)
def test_honest_learners_pass(kind, grouped):
    spec, data = SPECS[kind]
    if grouped:
        data = dataclasses.replace(data, groups=np.arange(data.n) // 3)
    learner = make_learner(spec, data)
    report = smoke_retrain(learner, data, lambda other: make_learner(spec, other), seed=1)
    assert report.losses == learner.losses
    assert report.train_losses
    assert report.together == learner.together
    assert report.traits == learner.traits
    assert report.seconds_per_retrain > 0
    assert report.notes == ()


@pytest.mark.parametrize("fits", [1, 2, 16])
def test_a_lack_of_memory_halves_k_until_it_fits_and_is_said(monkeypatch, fits):
    spec, data = TorchSpec(model="m.py:Net", epochs=1, together=32), classification_data()
    trained = TogetherTrainer.trained

    def short(trainer, members, seeds):
        if len(members) > fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return trained(trainer, members, seeds)

    monkeypatch.setattr(TogetherTrainer, "trained", short)
    learner = TorchLearner(spec, data, TinyNet)
    report = smoke_retrain(learner, data, lambda other: TorchLearner(spec, other, TinyNet), seed=1)
    assert report.together == 32
    (note,) = report.notes
    assert f"32 retrains together run out of memory in this process, {fits} do not" in note


DETERMINISTIC = LearnerTraits(deterministic=True)


@dataclasses.dataclass(frozen=True)
class Means:
    """Predicts the mean target of its members, honestly or with a vice."""

    data: object
    vice: str = ""
    traits: LearnerTraits = DETERMINISTIC
    losses: tuple = ("squared_error",)
    numeric_class: str = "test"
    together: int = 1

    @property
    def n(self):
        return self.data.n

    @property
    def n_test(self):
        return self.data.n_test

    def with_together(self, together):
        return dataclasses.replace(self, together=together)

    def retrain(self, members, seeds):
        predictions = np.array([self.predict(row, int(seed)) for row, seed in zip(members, seeds, strict=True)])
        test = np.square(predictions[:, None] - self.data.test_labels).astype(np.float32)
        train = np.square(predictions[:, None] - self.data.train_labels).astype(np.float32)
        if self.vice == "wrong shape":
            test = test[:, 1:]
        if self.vice == "float64":
            test = test.astype(np.float64)
        if self.vice == "list":
            test = test.tolist()
        if self.vice == "lacks a loss":
            return Losses(test={})
        return Losses(test={"squared_error": test}, train={"squared_error": train})

    def predict(self, row, seed):  # noqa: PLR0911 - one line a vice
        labels = self.data.train_labels
        mean = labels[row].mean() if row.any() else 0.0
        if self.vice == "ignores members":
            return labels.mean() if row.any() else 0.0
        if self.vice == "peeks at labels":
            return mean + 1e-3 * labels.mean()
        if self.vice == "peeks at features":
            return mean + 1e-3 * self.data.train_features.mean()
        if self.vice == "multiplies by zero":
            return mean + 0.0 * self.data.train_features.sum()
        if self.vice == "rounds":
            return mean + 1e-9 * self.data.train_features.std()
        if self.vice == "uses the seed":
            return mean + seed % 1000
        if self.vice == "NaN on the whole" and row.all():
            return np.nan
        if self.vice == "raises on none" and not row.any():
            raise ValueError("mean of nothing")
        if self.vice == "raises on all" and row.all():
            raise RuntimeError("too much")
        if self.vice == "warns":
            warnings.warn("this is odd", UserWarning, stacklevel=1)
        return mean


def smoke(vice="", data=None, **options):
    data = regression_data() if data is None else data
    learner = Means(data, vice, **options)
    return smoke_retrain(learner, data, lambda other: dataclasses.replace(learner, data=other), seed=3)


def test_an_honest_learner_passes_whatever_its_k():
    assert smoke().notes == ()
    assert smoke(together=7).together == 7


@pytest.mark.parametrize(
    ("vice", "message"),
    [
        ("peeks at labels", "instances outside `members` change the losses: replaced by other instances"),
        ("peeks at features", "instances outside `members` change the losses: replaced by other instances"),
        ("multiplies by zero", "replaced by NaN"),
        ("ignores members", "does not look at `members`"),
        ("uses the seed", "declared deterministic, but its losses depend on the seed"),
        ("wrong shape", r"shape \(4, 24\), expected float32 \(4, 25\)"),
        ("float64", "float64 of shape"),
        ("list", "squared_error as a list"),
        ("lacks a loss", "returned losses none.*expected squared_error"),
        ("NaN on the whole", "subset the whole training set: squared_error is nan at test instance 0"),
        ("raises on none", "ValueError on the empty subset .*mean of nothing.*every campaign needs its losses"),
        ("raises on all", r"RuntimeError on the whole training set \(60 members\): too much"),
    ],
)
def test_each_vice_is_named(vice, message):
    with pytest.raises(LearnerError, match=message):
        smoke(vice)


def test_a_learner_that_remembers_its_last_retrain_is_caught():
    random = np.random.default_rng(0)

    @dataclasses.dataclass(frozen=True)
    class Moody(Means):
        def predict(self, row, seed):
            return random.normal()

    data = regression_data()
    with pytest.raises(LearnerError, match=r"same subset with the same seed differ.*most at instance"):
        smoke_retrain(Moody(data), data, Moody, seed=0)


def test_a_masking_learner_may_move_roundings_within_its_tolerance_only():
    masks = LearnerTraits(deterministic=True, membership="masks", tolerance=1e-5)
    assert smoke("rounds", traits=masks).notes == ()
    with pytest.raises(LearnerError, match="outside `members`"):
        smoke("peeks at features", traits=masks)
    assert smoke("multiplies by zero", traits=masks).notes == ()  # no NaN where instances are masked


def test_a_cheat_among_groups_is_caught():
    data = regression_data(groups=np.arange(60) // 2)
    with pytest.raises(LearnerError, match="outside `members`"):
        smoke_of_groups("peeks at labels", data)
    assert smoke_of_groups("", data).notes == ()


def smoke_of_groups(vice, data):
    from workers.grouped import grouped_learner

    def make(other):
        return grouped_learner(Means(dataclasses.replace(other, groups=None), vice), other.groups)

    return smoke_retrain(make(data), data, make, seed=3)


def test_equal_losses_of_zeros_and_ones_are_a_note_only():
    data = classification_data(n=40, n_test=10, classes=2)
    easy = dataclasses.replace(
        data,
        train_features=data.train_labels[:, None] * 10.0,
        test_features=data.test_labels[:, None] * 10.0,
    )
    spec = ScikitLearnSpec(estimator="sklearn.neighbors.NearestCentroid", losses=("zero_one",))
    report = smoke_retrain(make_learner(spec, easy), easy, lambda other: make_learner(spec, other), seed=0)
    assert any("could not be seen" in note for note in report.notes)


def test_warnings_of_a_retrain_become_notes_once():
    assert smoke("warns").notes == ("a retrain warns: UserWarning: this is odd",)


def test_a_function_is_told_that_membership_was_not_checked_and_that_it_is_deterministic():
    data = regression_data()

    def losses(members, seed, *, folder=None):
        return {"squared_error": np.square(data.test_labels - members.sum())}

    learner = function_learner(FunctionSpec(function="train.py:losses"), data, losses)
    report = smoke_retrain(learner, data, None, seed=0)
    assert report.losses == ("squared_error",)
    assert not report.train_losses
    assert any("was not checked" in note for note in report.notes)
    assert any("deterministic: true" in note for note in report.notes)


def test_a_function_that_ignores_its_members_is_caught():
    data = regression_data()

    def losses(members, seed, *, folder=None):
        return {"squared_error": np.square(data.test_labels - seed % 7)}

    learner = function_learner(FunctionSpec(function="train.py:losses"), data, losses)
    with pytest.raises(LearnerError, match="does not look at `members`"):
        smoke_retrain(learner, data, None, seed=0)
