"""Walks: one pass of single steps over a permutation, against loops written by hand."""

import numpy as np
import pytest
import torch
from learner_data import classification_data, regression_data
from torch import nn

from workers.errors import LearnerError
from workers.learner_specs import LogisticRegressionSpec, RidgeSpec, TorchSpec
from workers.learners import make_learner
from workers.learners.torch_learner import TorchLearner
from workers.walking import MOST_WALK_BYTES, Walker, walk_keys, walker_of, walks_together, watched_columns


class Net(nn.Module):
    def __init__(self, inputs=4, outputs=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 6), nn.Tanh(), nn.Linear(6, outputs))

    def forward(self, x):
        return self.layers(x)


class Dropping(Net):
    def forward(self, x):
        return self.layers(nn.functional.dropout(x, 0.2, self.training))


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))

    def forward(self, x):
        return self.layers(x)


class Slope(nn.Module):
    """One parameter: least squares in one dimension."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x[:, 0] * self.weight


def orders_of(count, n, seed=3):
    random = np.random.default_rng(seed)
    return np.stack([random.permutation(n) for _ in range(count)])


def seeds_of(count):
    return np.arange(10, 10 + count, dtype=np.uint64)


def torch_learner(model, data, *, together="auto", **options):
    return TorchLearner(TorchSpec(model="model.py:Net", together=together, **options), data, model)


def test_one_dimensional_least_squares_by_hand():
    data = regression_data(n=7, n_test=3, d=1, offset=0.0)
    learner = torch_learner(Slope, data, together=2, losses=("squared_error",))
    orders = orders_of(3, 7)
    losses = learner.walk(orders, seeds_of(3), rate=0.001, columns=np.arange(3))["squared_error"]
    x, y = data.train_features[:, 0], data.train_labels
    x_test, y_test = data.test_features[:, 0], data.test_labels
    for k, order in enumerate(orders):
        theta = 0.0
        expected = [(y_test - theta * x_test) ** 2]
        for i in order:
            theta -= 0.001 * 2.0 * (theta * x[i] - y[i]) * x[i]
            expected.append((y_test - theta * x_test) ** 2)
        np.testing.assert_allclose(losses[k, :, :-1], expected, rtol=2e-5)
        np.testing.assert_allclose(losses[k, :, -1], np.mean(expected, axis=1), rtol=2e-5)


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_networks_walk_is_a_plain_loop_of_torch_sgd(together, weighted):
    weights = np.random.default_rng(0).uniform(0.0, 2.0, 12) if weighted else None
    data = classification_data(n=12, n_test=9, weights=weights)
    learner = torch_learner(Net, data, together=together, losses=("cross_entropy", "zero_one"))
    orders, seeds = orders_of(4, 12), seeds_of(4)
    losses = learner.walk(orders, seeds, rate=0.3, columns=np.array([0, 4, 8]))
    for k, order in enumerate(orders):
        torch.manual_seed(int(seeds[k]))
        expected = plain_walk(Net(), data, order, 0.3, weights)
        np.testing.assert_allclose(losses["cross_entropy"][k, :, :-1], expected[:, [0, 4, 8]], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(losses["cross_entropy"][k, :, -1], expected.mean(axis=1), rtol=1e-4)


def plain_walk(module, data, order, rate, weights):
    features = torch.tensor(data.train_features, dtype=torch.float32)
    labels, test_labels = torch.tensor(data.train_labels), torch.tensor(data.test_labels)
    test = torch.tensor(data.test_features, dtype=torch.float32)
    expected = []
    for i in [None, *order]:
        if i is not None:
            module.zero_grad()
            nn.functional.cross_entropy(module(features[i : i + 1]), labels[i : i + 1]).backward()
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.sub_(parameter.grad, alpha=rate * (1.0 if weights is None else weights[i]))
        with torch.no_grad():
            expected.append(nn.functional.cross_entropy(module(test), test_labels, reduction="none").numpy())
    return np.array(expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_logistic_walk_is_a_loop_written_by_hand(classes):
    data = classification_data(n=15, n_test=8, classes=classes)
    learner = make_learner(LogisticRegressionSpec(losses=("cross_entropy",)), data)
    orders = orders_of(3, 15)
    losses = learner.walk(orders, seeds_of(3), rate=0.2, columns=np.arange(8))["cross_entropy"]
    features, test = (np.c_[part, np.ones(len(part))] for part in (data.train_features, data.test_features))
    for k, order in enumerate(orders):
        theta = np.zeros((classes, 5))
        expected = [_cross_entropies(test, theta, data.test_labels)]
        for i in order:
            logits = theta @ features[i]
            residual = np.exp(logits) / np.exp(logits).sum() - np.eye(classes)[data.train_labels[i]]
            if classes == 2:
                theta[1] -= 0.2 * residual[1] * features[i]
            else:
                theta -= 0.2 * np.outer(residual, features[i])
            expected.append(_cross_entropies(test, theta, data.test_labels))
        np.testing.assert_allclose(losses[k, :, :-1], expected, rtol=1e-6, atol=1e-7)


def _cross_entropies(features, theta, labels):
    logits = features @ theta.T
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]


class OneOutput(Net):
    def __init__(self):
        super().__init__(outputs=1)


def walker(name):
    data = classification_data(n=20, n_test=37)
    if name == "logistic":
        return make_learner(LogisticRegressionSpec(), data)
    if name == "binary":
        return make_learner(LogisticRegressionSpec(), classification_data(n=20, n_test=37, classes=2))
    if name == "regression":
        return torch_learner(OneOutput, regression_data(n=20, n_test=37, d=4, offset=0.0), together=4)
    return torch_learner(Dropping if name == "dropout" else Net, data, together=8 if name == "together" else 1)


@pytest.mark.parametrize("name", ["logistic", "binary", "together", "looped", "dropout", "regression"])
def test_a_walk_depends_on_its_order_and_seed_alone(name):
    learner = walker(name)
    assert isinstance(learner, Walker)
    orders, seeds, columns = orders_of(9, 20), seeds_of(9), np.array([0, 5, 36])
    whole = learner.walk(orders, seeds, rate=0.01, columns=columns)
    backwards = learner.walk(orders[::-1], seeds[::-1], rate=0.01, columns=columns)
    fewer = learner.with_together(min(3, learner.together)).walk(orders[2:5], seeds[2:5], rate=0.01, columns=columns)
    for loss, values in whole.items():
        assert values.shape == (9, 21, 4)
        assert values.dtype == np.float32
        assert values.tobytes() == backwards[loss][::-1].tobytes()
        assert values[2:5].tobytes() == fewer[loss].tobytes()
    assert not np.array_equal(whole[learner.losses[0]][0], whole[learner.losses[0]][1])


def test_what_cannot_walk_says_so():
    with pytest.raises(LearnerError, match=r"RidgeLearner cannot walk .*permutation"):
        walker_of(make_learner(RidgeSpec(), regression_data()))
    learner = torch_learner(Normalised, classification_data(n=12, n_test=9))
    with pytest.raises(LearnerError, match="normalises batches"):
        learner.walk(orders_of(1, 12), seeds_of(1), rate=0.1, columns=np.arange(9))


def test_watched_columns_keep_a_walk_small():
    assert watched_columns(100, 50).tolist() == list(range(50))
    few = watched_columns(100_000, 1000)
    assert few[0] == 0
    assert few[-1] == 999
    assert 4 * 100_001 * (len(few) + 1) <= MOST_WALK_BYTES
    assert walks_together(100_000, len(few), 2, most=64) < 64
    assert walks_together(10, 10, 1, most=64) == 64


def test_walk_keys_follow_the_order_and_the_rate():
    identities = np.random.default_rng(0).integers(0, 256, (5, 16), dtype=np.uint8)
    orders = np.array([[0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [0, 1, 2, 3, 4]])
    keys = walk_keys(orders, identities, 0.1)
    assert keys[0] == keys[2]
    assert len({*keys, *walk_keys(orders, identities, 0.2)}) == 4
    shuffled = np.array([4, 3, 2, 1, 0])
    assert walk_keys(np.argsort(shuffled)[orders], identities[shuffled], 0.1) == keys
