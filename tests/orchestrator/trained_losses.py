"""Losses of small real learners on any subsets, for tests of what a pilot predicts."""

import math

import numpy as np

from estimators.retrains import EndRows
from estimators.seeding import retrain_seeds
from estimators.subsets import subset_keys
from orchestrator import Job, arrays_data
from orchestrator.preparation import prepare

N_TEST = 16
NETWORK = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = torch.nn.Linear({features}, 8), torch.nn.Linear(8, 2)

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


class TrainedLosses:
    """A learner on data of one seed: a linear target with noise, or its sign."""

    def __init__(self, kind, folder, *, n, features=4, seed=12):
        rng = np.random.default_rng(seed)
        X, w = rng.normal(size=(n + N_TEST, features)).astype(np.float32), rng.normal(size=features)
        y = X @ w + 0.5 * rng.normal(size=n + N_TEST)
        y = y if kind == "ridge" else (y > 0).astype(int)
        (folder / "model.py").write_text(NETWORK.format(features=features))
        job = Job(
            name="trained",
            data=arrays_data(X[:n], y[:n], X[n:], y[n:]),
            learner={**LEARNERS[kind], "together": 64},
            campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": 64}],
            cluster={"address": "in_process"},
            folder=folder,
        )
        self.n, self.deterministic = n, kind != "network"
        # one subset in thousands holds a single class, at a loss of 8 in the mean: half of the variance, by one row
        self.most = np.inf if kind == "ridge" else 3.0
        self.prepared = prepare(job, str)
        self.learner = self.prepared.learner(together=64)

    def losses(self, members, replicates=None):
        """[K, n_test] float64, clipped for classifiers."""
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
