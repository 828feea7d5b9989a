"""Games of 12 and 14 players with the worth of every subset: closed forms, and models trained on real digits.

Real games are computed once (a minute) and kept in the cache folder, 300 kB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import comb
from pathlib import Path

import numpy as np

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "value_games"


@dataclass(frozen=True)
class Game:
    """worth [2^n]: v of the subset whose members are the bits of the index."""

    name: str
    worth: np.ndarray

    @property
    def n(self) -> int:
        """Players."""
        return int(np.log2(len(self.worth)))

    @cached_property
    def members(self) -> np.ndarray:
        """Members [2^n, n] of each subset."""
        return (np.arange(2**self.n)[:, None] >> np.arange(self.n) & 1).astype(bool)

    def exact(self, value: str) -> np.ndarray:
        """Shapley or Banzhaf values [n] by their definitions."""
        n, sizes = self.n, self.members.sum(axis=1)
        p = [1 / n / comb(n - 1, c) if value == "shapley" else 2.0 ** (1 - n) for c in range(n)]
        inside, outside = np.array([0.0, *p]), np.array([*p, 0.0])
        weights = np.where(self.members, inside[sizes][:, None], -outside[sizes][:, None])
        return weights.T @ self.worth

    def numbers(self, members: np.ndarray) -> np.ndarray:
        """The index of each row of members [K, n]."""
        return np.asarray(members).astype(np.int64) @ (1 << np.arange(self.n))


Estimates = dict[int, np.ndarray]
"""Values [n] for each budget."""

Method = Callable[[Game, list[int], int], Estimates]
"""(game, budgets of different subsets, seed) -> estimates."""


def all_games() -> list[Game]:
    return [*_closed(12), *_digits()]


def _closed(n: int) -> list[Game]:
    rng = np.random.default_rng(0)
    M = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
    effects = rng.normal(size=n)
    pairs = np.triu(rng.normal(size=(n, n)), 1) / 3
    votes = rng.integers(1, 10, size=n)
    lengths = np.sort(rng.exponential(size=n))
    unanimity = np.zeros(2**n)
    for _ in range(20):
        carriers = rng.choice(n, size=rng.integers(1, 7), replace=False)
        unanimity += rng.normal() * M[:, carriers].all(axis=1)
    return [
        Game("additive", M @ effects),
        Game("quadratic", M @ effects + np.einsum("ki,ij,kj->k", M, pairs, M)),
        Game("voting", (M @ votes > votes.sum() / 2).astype(float)),
        Game("airport", (M * lengths).max(axis=1)),
        Game("unanimity", unanimity),
        Game("steep", 1 - np.exp(-(M @ rng.uniform(0.3, 1.7, size=n)))),
    ]


def _digits() -> list[Game]:
    """Logistic regression on 12 digits of 3 classes, and on 14 groups of 5 of all classes; mean log-likelihood."""
    file = CACHE / "digits.npz"
    if not file.exists():
        from sklearn.datasets import load_digits  # noqa: PLC0415 - only where the cache is empty

        X, y = load_digits(return_X_y=True)
        order = np.random.default_rng(1).permutation(len(y))
        three = order[np.isin(y[order], [0, 1, 2])]
        singles, groups = [three[i : i + 1] for i in range(12)], [order[5 * i : 5 * i + 5] for i in range(14)]
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(
            file,
            digits12=_trained(X / 16, y, singles, three[100:300], 3),
            digits14=_trained(X / 16, y, groups, order[1000:1300], 10),
        )
    stored = np.load(file, allow_pickle=False)
    return [Game(name, stored[name]) for name in ("digits12", "digits14")]


def _trained(X: np.ndarray, y: np.ndarray, players: list[np.ndarray], test: np.ndarray, classes: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    worth = np.zeros(2 ** len(players))
    for k in range(len(worth)):
        rows = np.concatenate([np.zeros(0, dtype=int), *(player for i, player in enumerate(players) if k >> i & 1)])
        p = np.full((len(test), classes), 1 / classes)
        labels = np.unique(y[rows])
        if len(labels) == 1:
            p[:] = 0.02 / (classes - 1)
            p[:, labels[0]] = 0.98
        elif len(labels) > 1:
            model = LogisticRegression(max_iter=60, tol=1e-3).fit(X[rows], y[rows])
            p[:] = 1e-3
            p[:, model.classes_] = np.maximum(model.predict_proba(X[test]), 1e-3)
            p /= p.sum(axis=1, keepdims=True)
        worth[k] = np.log(p[np.arange(len(test)), y[test]]).mean()
    return worth
