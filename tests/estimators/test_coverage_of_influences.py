"""95 % intervals of the values [n, n_test] of the registry: 400 campaigns of games whose values are known.

Each row is a value, a design and a game; deterministic, and with a noise of its own on every stored loss. Coverage is
held between the 0.05 % and 99.95 % binomial quantiles, a false-alarm rate of 0.1 % a check; seeds are fixed.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from estimator_material import Game, aggregator_of, random_game
from oracles import enumeration
from scipy import stats
from test_interval_coverage import CAMPAIGNS, LEAST, OWN_LOSSES, assert_covers, covered, depends_on_seed

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.designs.pooled import Pooled
from estimators.registry import VALUES

N, RETRAINS = 10, 198
PAIRS = {"serves": (("shapley", 1.0),)}


def game_of(worth):
    """The game of v = `worth` of all subsets as rows [2^n, n]."""
    members = (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(float)
    return Game(N, -worth(members)[:, None], np.zeros((2**N, N)))


def majority_game():
    """A weighted majority of 10, and pairs that help or hinder each other."""
    rng = np.random.default_rng(31)
    votes, pairs = rng.integers(1, 10, size=N), np.triu(rng.normal(size=(N, N)), 1) / 10

    def worth(members):
        return (members @ votes > votes.sum() / 2) + np.einsum("ki,ij,kj->k", members, pairs, members)

    return game_of(worth)


def additive_game():
    """Effects of single instances, and a noise of every subset."""
    rng = np.random.default_rng(77)
    effects, noise = rng.normal(size=N), 0.3 * rng.normal(size=2**N)
    return game_of(lambda members: members @ effects + noise)


GAMES = {
    "random": random_game(N, 1, seed=21),
    "majority": majority_game(),
    "additive": additive_game(),
    "vote": game_of(lambda members: (members.sum(axis=1) >= N // 2) * 1.0),
    "airport": game_of(lambda members: (members * np.arange(1, N + 1)).max(axis=1)),
}


@dataclass(frozen=True)
class Row:
    """A value on a design, or on several whose rows are pooled.

    on_average: instances that differ far in how much they vary share their variances, and few units tell them apart;
    intervals then cover on average over instances, those of the least varied in more campaigns than 95 %.
    """

    value: str
    designs: tuple[str, ...]
    said: dict = field(default_factory=dict)
    game: str = "random"
    draws: int = RETRAINS
    on_average: bool = False

    @property
    def label(self):
        said = "".join(f"-{each}" for each in self.said.values() if isinstance(each, str))
        return f"{self.value}-{'+'.join(self.designs)}{said}-{self.game}-{self.draws}"

    def design(self, seed):
        """The design and its draws of a campaign, in whole units."""
        parts = [
            make_design(
                name, n=N, seed=seed * len(self.designs) + place, **(self.said if len(self.designs) == 1 else {})
            )
            for place, name in enumerate(self.designs)
        ]
        counts = [self.draws // len(parts) // part.unit_rows * part.unit_rows for part in parts]
        return (parts[0], counts[0]) if len(parts) == 1 else (Pooled(tuple(parts), tuple(counts)), sum(counts))


ROWS = [
    Row("shapley", ("paired",), PAIRS),
    Row("shapley", ("paired",), PAIRS, "majority"),
    Row("shapley", ("sizes",)),
    Row("shapley", ("sizes",), draws=80),
    Row("shapley", ("sizes",), game="additive", draws=80),
    Row("shapley", ("permutation",)),
    Row("shapley", ("sizes", "bernoulli"), draws=160),
    Row("banzhaf", ("bernoulli",)),
    Row("banzhaf", ("bernoulli",), game="majority"),
    Row("banzhaf", ("paired",)),
    Row("banzhaf", ("sizes", "bernoulli"), draws=160),
    Row("beta_shapley", ("sizes",), {"serves": (("beta_shapley(alpha=4, beta=1)", 1.0),)}, draws=450),
    Row("weighted_banzhaf(probability=0.7)", ("bernoulli",), {"probability": 0.7}),
    Row("shapley_permutations", ("permutation",)),
    Row("shapley_permutations", ("permutation",), game="majority", on_average=True),
    Row("shapley_permutations", ("permutation",), game="majority", draws=900),
    Row("shapley_permutations", ("permutation",), game="vote"),
    Row("shapley_permutations", ("permutation",), {"order": "antithetic"}, game="vote"),
    Row("shapley_permutations", ("permutation",), game="airport", on_average=True),
    Row("shapley_permutations", ("permutation",), game="additive"),
    Row("shapley_permutations", ("permutation",), {"order": "antithetic"}),
    Row("shapley_permutations", ("permutation",), {"order": "cyclic"}, draws=360),
    Row("shapley_permutations", ("permutation",), {"order": "rotated"}, draws=360),
    Row("expected_leave_one_out(size=5)", ("uniform",), {"size": (4, 5)}),
    Row("banzhaf_least_squares", ("bernoulli",)),
    Row("banzhaf_least_squares", ("paired",)),
    Row("banzhaf_sample_reuse", ("bernoulli",)),
    Row("banzhaf_sample_reuse", ("bernoulli",), game="majority"),
    Row("downsampling", ("uniform",), {"size": 6}),
    Row("ame", ("bernoulli",), {"probability": (0.2, 0.4, 0.6, 0.8)}, draws=300),
    Row("datamodel", ("uniform",), {"size": 6}, draws=300),
    Row("datamodel", ("paired",), draws=300),
]
ELSEWHERE = {"leave_one_out", *(each[0] for each in OWN_LOSSES), "g_shapley"}
"""Values whose coverage `test_interval_coverage` and `test_g_shapley` hold."""


def test_every_value_has_a_row_of_coverage():
    assert {row.value.partition("(")[0] for row in ROWS} | ELSEWHERE == set(VALUES)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("noise", [0.0, 0.2], ids=["deterministic", "depends_on_seed"])
@pytest.mark.parametrize("row", ROWS, ids=[row.label for row in ROWS])
def test_intervals_cover(row, noise):
    assert_row_covers(row, noise)


def test_intervals_of_shapley_values_from_pairs_cover():
    assert_row_covers(Row("shapley", ("paired",), PAIRS, draws=120), 0.2)


def assert_row_covers(row, noise):
    game, rng = GAMES[row.game], np.random.default_rng(5)
    truth, counts, studentised, errors = true_value(row, game), np.zeros(N), [], []
    for seed in range(CAMPAIGNS):
        design, count = row.design(seed)
        trained, ends = depends_on_seed(game, noise, rng)
        rows = replace(trained.retrains(design.draws(0, count)), units=design.units(0, count), draws=np.arange(count))
        result = aggregate(aggregator_of(row.value, design, ends), [rows])
        counts += covered(result, truth)[:, 0]
        errors.append(result.values - truth)
        studentised.append(errors[-1] / result.standard_errors)
    assert_covers(counts.mean() if row.on_average else counts)
    assert counts.min() >= LEAST
    if row.on_average:  # skewed numbers: their standard errors go with the values, the values have no bias
        assert (np.abs(np.mean(errors, axis=0)) < 4.5 * np.std(errors, axis=0, ddof=1) / np.sqrt(CAMPAIGNS)).all()
    else:
        assert np.abs(np.mean(studentised, axis=0)).max() < 0.35  # the bias is within a third of a standard error


def true_value(row, game):
    """By enumeration of all subsets."""
    name = row.value.partition("(")[0]
    if name == "expected_leave_one_out":
        members = (np.arange(2**N)[:, None] >> np.arange(N)) & 1
        sizes, losses = members.sum(axis=1), game.losses
        kept, left = (sizes == 5)[:, None] & (members == 1), (sizes == 4)[:, None] & (members == 0)
        return np.array([losses[left[:, i]].mean(axis=0) - losses[kept[:, i]].mean(axis=0) for i in range(N)])
    if name == "ame":
        p = np.mean([stats.binom.pmf(np.arange(N), N - 1, share) for share in (0.2, 0.4, 0.6, 0.8)], axis=0)
        weights = p / [math.comb(N - 1, c) for c in range(N)]
        return enumeration._semivalue(game.losses, N, lambda size: weights[size])
    if name in {"downsampling", "datamodel"} and row.said.get("size"):
        return (0.9 if name == "datamodel" else 1.0) * enumeration.downsampling_by_subsets(game.losses, N, 6)
    exact = "banzhaf" if name == "datamodel" else row.value
    for said in ("_permutations", "_least_squares", "_sample_reuse"):
        exact = exact.replace(said, "")
    everything = make_design("exhaustive", n=N, seed=0)
    return aggregate(aggregator_of(exact, everything, game.ends), [game.retrains(everything.draws(0, 2**N))]).values


def test_degrees_of_freedom_are_fewer_where_few_rows_carry_the_weight():
    game = GAMES["random"]

    def found(row):
        design, count = row.design(3)
        rows = replace(game.retrains(design.draws(0, count)), units=design.units(0, count))
        return aggregate(aggregator_of(row.value, design, game.ends), [rows])

    alike = found(Row("banzhaf", ("bernoulli",), draws=160))
    few = found(Row("shapley", ("sizes", "bernoulli"), draws=160))
    # equal weights: 2 / kurtosis of the rows, at most 2 / 3 of them; singletons weigh 10 times the mean row
    assert 40 < alike.degrees_of_freedom.min() <= alike.degrees_of_freedom.max() < 160
    assert 2 < few.degrees_of_freedom.min() <= few.degrees_of_freedom.max() < 30
    assert not any("few rows" in note for note in alike.notes)
    assert any("few rows carry most of the weight" in note for note in few.notes)
