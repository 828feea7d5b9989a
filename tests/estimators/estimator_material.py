"""Games and campaigns for the tests of the estimators."""

from dataclasses import dataclass

import numpy as np

from estimators.designs import make_design
from estimators.registry import VALUES, value_method
from estimators.retrains import EndRows, Retrains

CASES = [(value, design) for value, method in VALUES.items() if not method.from_walks for design in method.designs]


@dataclass(frozen=True)
class Game:
    """Losses of every subset: on tests [2^n, n_test] and on training instances [2^n, n]."""

    n: int
    losses: np.ndarray
    own: np.ndarray

    def numbers(self, members):
        return members.astype(np.int64) @ (1 << np.arange(self.n))

    def retrains(self, members):
        k = self.numbers(members)
        return Retrains(members, self.losses[k], self.own[k])

    @property
    def ends(self):
        return EndRows(
            full=self.losses[-1:],
            empty=self.losses[0],
            deterministic=True,
            full_train=self.own[-1:],
            empty_train=self.own[0],
        )


def random_game(n, n_test, seed):
    """Effects of instances and pairs, a bend, and noise on every subset, on a base level far from 0."""
    rng = np.random.default_rng(seed)
    members = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
    drawn = [_losses(rng, members, columns) for columns in (n_test, n)]
    own = drawn[1] + 0.8 * (1.0 - members)
    return Game(n, drawn[0], own)


def _losses(rng, members, columns):
    n = members.shape[1]
    line = members @ rng.normal(size=(n, columns))
    pair = (members @ rng.normal(size=(n, columns))) * (members @ rng.normal(size=(n, columns))) / n
    return 5.0 + 0.3 * np.maximum(line, -1.0) + 0.2 * pair + 0.1 * rng.normal(size=(len(members), columns))


def design_of(name, n, seed=0):
    return make_design(name, n=n, seed=seed)


def draw_count(design, otherwise):
    return otherwise if design.draw_count is None else design.draw_count


def aggregator_of(value, design, ends, loss="loss"):
    return value_method(value).make(loss=loss, ends=ends, design=design)


def arrays_of(result):
    """All numbers of a result, to compare bits or values."""
    arrays = [result.values, result.standard_errors, result.degrees_of_freedom]
    if hasattr(result, "mean"):
        arrays += [result.mean.values, result.mean.standard_errors, result.mean.degrees_of_freedom]
    return arrays


def assert_same_bits(a, b):
    for x, y in zip(arrays_of(a), arrays_of(b), strict=True):
        assert x.tobytes() == y.tobytes()


def assert_same_to_rounding(a, b, rtol=1e-9):
    for x, y in zip(arrays_of(a), arrays_of(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-11)
