"""Losses of small real learners on any subsets, for tests of what a pilot predicts."""

import math

import numpy as np
from sklearn import datasets

from estimators.retrains import EndRows
from estimators.seeding import retrain_seeds
from estimators.subsets import subset_keys
from orchestrator import Job, arrays_data
from orchestrator.preparation import prepare

NETWORK = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = torch.nn.Linear({features}, 8), torch.nn.Linear(8, {classes})

    def forward(self, x):
        return self.out(torch.tanh(self.hidden(x)))
"""
LEARNERS = {
    "ridge": {"kind": "ridge"},
    "logistic": {"kind": "logistic_regression", "c": 1.0},
    "network": {
        "kind": "torch",
        "model": "model.py:Net",
        "epochs": 10,
        "batch_size": 16,
        "optimizer": {"name": "sgd", "lr": 0.3},
    },
}
CLIPPED = {"ridge": 1.0, "logistic": 0.5, "network": 0.5}
"""Where `clip` cuts: one variance of the target, and a probability of 0.6."""


class TrainedLosses:
    """A learner on n instances of real data, or of a linear target with noise (or its sign).

    clip: whether losses are clipped. The tests are `n_test` others.
    """

    def __init__(self, kind, folder, *, n, data="linear", seed=12, clip=False, n_test=16):
        X, y = linear(n + n_test, seed) if data == "linear" else real(data, n + n_test, seed)
        classes = (y > 0).astype(int) if data == "linear" else y.astype(int)
        y = (y - y.mean()) / y.std() if kind == "ridge" else classes
        network = NETWORK.format(features=X.shape[1], classes=len(np.unique(y)))
        (folder / "model.py").write_text(network)
        job = Job(
            name="trained",
            data=arrays_data(X[:n], y[:n], X[n:], y[n:]),
            learner={**LEARNERS[kind], "together": 64},
            campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": 64}],
            cluster={"address": "in_process"},
            folder=folder,
        )
        self.n, self.seed, self.deterministic = n, seed, kind != "network"
        self.most = CLIPPED[kind] if clip else np.inf
        self.prepared = prepare(job, str)
        self.learner = self.prepared.learner(together=64)

    def losses(self, members, replicates=None):
        """[K, n_test] float64."""
        replicates = np.zeros(len(members), dtype=np.int64) if replicates is None else replicates
        seeds = retrain_seeds(0, subset_keys(members, self.prepared.loaded.train_identities), replicates)
        parts = [self.learner.retrain(members[k : k + 64], seeds[k : k + 64]).test for k in range(0, len(members), 64)]
        name = next(iter(parts[0]))
        return np.minimum(np.concatenate([part[name] for part in parts]).astype(np.float64), self.most)

    def ends(self):
        """Of D once, or as often as a campaign would, and of the empty subset."""
        count = 1 if self.deterministic else math.ceil(math.sqrt(self.n))
        full = self.losses(np.ones((count, self.n), dtype=bool), np.arange(count))
        empty = self.losses(np.zeros((1, self.n), dtype=bool))[0]
        return EndRows(full=full, empty=empty, deterministic=self.deterministic)


def linear(count, seed, features=4):
    """A linear target with noise."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(count, features)).astype(np.float32), rng.normal(size=features)
    return X, X @ w + 0.5 * rng.normal(size=count)


def real(name, count, seed):
    """Some rows of a data set of scikit-learn's, features put to scale."""
    bunch = {
        "digits": datasets.load_digits,
        "cancer": datasets.load_breast_cancer,
        "diabetes": datasets.load_diabetes,
    }[name]()
    X = bunch.data - bunch.data.mean(axis=0)
    X /= np.maximum(X.std(axis=0), 0.1)
    chosen = np.random.default_rng(seed).permutation(len(X))[:count]
    return X[chosen].astype(np.float32), bunch.target[chosen].astype(float)
