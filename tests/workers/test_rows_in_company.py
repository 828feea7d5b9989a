"""The law of learners, for every kind that is trained here: a row's bits are its own, whoever is trained beside it."""

import dataclasses

import numpy as np
import pytest
import torch
from learner_data import classification_data, regression_data, seeds
from torch import nn

from workers.learner_specs import (
    GradientBoostingSpec,
    LinearSvmSpec,
    LogisticRegressionSpec,
    OptimizerSpec,
    RidgeSpec,
    ScikitLearnSpec,
    TorchSpec,
)
from workers.learners import make_learner, torch_learner
from workers.learners.torch_learner import TorchLearner

N = 48


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Linear(4, 24), nn.LayerNorm(24), nn.GELU(), nn.Dropout(0.2), nn.Linear(24, 16), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(16, 3))

    def forward(self, x):
        return self.layers(x)


class Around(nn.Module):
    """A connection around a layer: no chain, so that it goes through vmap."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(x + torch.tanh(self.first(x)))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.last = nn.Embedding(11, 6, padding_idx=0), nn.Linear(6, 3)

    def forward(self, x):
        return self.last(self.embedding(x).sum(1))


def words():
    data, draw = classification_data(N, 20), np.random.default_rng(3)
    return dataclasses.replace(
        data, train_features=draw.integers(0, 11, size=(N, 5)), test_features=draw.integers(0, 11, size=(20, 5))
    )


def network(model, data, together, **options):
    options = {"optimizer": OptimizerSpec(lr=0.1), **options}
    spec = TorchSpec(model="model.py:Net", epochs=3, batch_size=8, **options)
    return TorchLearner(spec, data, model, together=together)


LEARNERS = {
    "two classes": lambda k: make_learner(LogisticRegressionSpec(), classification_data(N, 20, classes=2), together=k),
    "classes": lambda k: make_learner(LogisticRegressionSpec(c=30.0), classification_data(N, 20), together=k),
    "vectors, two classes": lambda k: make_learner(LinearSvmSpec(), classification_data(N, 20, classes=2), together=k),
    "vectors, classes": lambda k: make_learner(LinearSvmSpec(c=30.0), classification_data(N, 20), together=k),
    "ridge": lambda k: make_learner(RidgeSpec(), regression_data(N, 20), together=k),
    "chain": lambda k: network(Chain, classification_data(N, 20), k),
    "adam, clipped": lambda k: network(
        Chain, classification_data(N, 20), k, optimizer=OptimizerSpec(name="adam", lr=0.01), clip_norm=0.5
    ),
    "vmap": lambda k: network(Around, classification_data(N, 20), k),
    "embedding": lambda k: network(Words, words(), k),
    "looped": lambda k: network(Chain, classification_data(N, 20), 1),
    "forest": lambda k: make_learner(
        ScikitLearnSpec(estimator="sklearn.ensemble.RandomForestClassifier", arguments={"n_estimators": 3}),
        classification_data(N, 20),
    ),
    "boosting": lambda k: make_learner(GradientBoostingSpec(arguments={"max_iter": 3}), regression_data(N, 20)),
}
LOOPED = {"looped", "forest", "boosting"}


def drawn(count):
    """Subsets of all sizes: none, one, all, all but one, and random ones."""
    draw = np.random.default_rng(5)
    members = draw.random((count, N)) < draw.random((count, 1))
    members[:4] = False
    members[1, 7] = members[2] = members[3] = True
    members[3, 11] = False
    return members


def bits(losses):
    parts = [*losses.test.values(), *(losses.train or {}).values()]
    return np.concatenate([part.view(np.int32) for part in parts], axis=1)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_row_has_the_bits_of_itself_alone_whatever_k_its_neighbours_and_their_order(name):
    count = 8 if name in LOOPED else 150
    members, numbers = drawn(count), seeds(count)
    many, few = LEARNERS[name](140), LEARNERS[name](5)
    expected = bits(many.retrain(members, numbers))
    assert len(np.unique(expected[4:], axis=0)) > 2, "the rows must differ, or nothing is shown"
    order = np.random.default_rng(6).permutation(count)
    cuts = np.cumsum([1, 2, 3, 17])
    for part in np.split(order, cuts[cuts < count]):
        np.testing.assert_array_equal(bits(many.retrain(members[part], numbers[part])), expected[part])
    for part in (order[:1], order[-7:]):
        np.testing.assert_array_equal(bits(few.retrain(members[part], numbers[part])), expected[part])


def sizes(learner, count):
    return [len(rows) for rows, _ in learner._trainer.groups(count)]


def test_a_few_rows_are_not_filled_up_to_k_unless_their_bits_depend_on_it(monkeypatch):
    learner = network(Chain, classification_data(N, 20), 140)
    assert (sizes(learner, 1), sizes(learner, 2), sizes(learner, 3)) == ([2], [2], [16])
    assert (sizes(learner, 141), sizes(learner, 129)) == ([140, 2], [140])
    assert sizes(learner.with_together(64), 70) == [64, 16]
    rows = [(rows.tolist(), own) for rows, own in network(Chain, classification_data(N, 20), 4)._trainer.groups(5)]
    assert rows == [([0, 1, 2, 3], 4), ([4, 4], 1)]
    monkeypatch.setattr(torch_learner, "bits_depend_on", lambda trainer: "K")
    assert sizes(learner.with_together(150), 1) == [150], "a larger K is tried anew"
    learner = network(Chain, classification_data(N, 20), 140)
    assert sizes(learner, 1) == [140]
    assert "K = 140" in learner.numeric_class
