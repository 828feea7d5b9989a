"""Interactions of pairs against enumeration, closed forms and their own errors."""

from itertools import combinations

import numpy as np
import pytest
from estimator_material import Game, random_game
from oracles import interactions
from scipy import stats

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.errors import EstimatorError, UnknownName
from estimators.interactions.indices import INTERACTIONS, interaction_index, law_of, pair_weights, row_share
from estimators.interactions.listed_pairs import ListedPairs
from estimators.interactions.strongest_pairs import StrongestPairs
from estimators.retrains import EndRows, Retrains

N = 8
PAIRS = np.array(list(combinations(range(N), 2)))


def game_of(v):
    members = (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(bool)
    return Game(N, np.array([[-float(v({*np.flatnonzero(row).tolist()}))] for row in members]), np.zeros((2**N, N)))


def listed(name, design, ends, pairs=PAIRS):
    return ListedPairs(interaction_index(name), "loss", design, ends, pairs, len(pairs))


def drawn(game, design, count):
    rows = game.retrains(design.draws(0, count))
    return Retrains(rows.members, rows.losses, None, np.arange(count), design.units(0, count))


def exact(name, game):
    design = make_design("exhaustive", n=N, seed=0)
    return aggregate(listed(name, design, game.ends), [drawn(game, design, 2**N)])


def design_for(name, seed):
    if name == "banzhaf_interaction":
        return make_design("bernoulli", n=N, seed=seed)
    return make_design("uniform", n=N, seed=seed, size=tuple(range(1, N)))


@pytest.mark.parametrize("name", INTERACTIONS)
def test_all_subsets_give_the_definition_without_error(name):
    game = random_game(N, 3, seed=51)
    result, known = exact(name, game), getattr(interactions, name)(game.losses, N)
    atol = 1e-5 if name == "faithful_shapley_interaction" else 1e-12  # that oracle holds the ends by a large weight
    np.testing.assert_allclose(result.values, [known[tuple(pair)] for pair in PAIRS], atol=atol)
    np.testing.assert_allclose(result.mean.values, result.values.mean(axis=1), atol=1e-12)
    assert (result.standard_errors == 0).all()


@pytest.mark.parametrize("name", INTERACTIONS)
def test_a_quadratic_game_has_its_own_coefficients(name):
    rng = np.random.default_rng(52)
    c, q = rng.normal(size=N), np.triu(rng.normal(size=(N, N)), 1)
    game = game_of(lambda s: sum(c[i] for i in s) + sum(q[i, j] for i in s for j in s if i < j))
    np.testing.assert_allclose(exact(name, game).values[:, 0], q[PAIRS[:, 0], PAIRS[:, 1]], atol=1e-10)


@pytest.mark.parametrize("name", INTERACTIONS)
def test_an_additive_game_has_none(name):
    c = np.random.default_rng(53).normal(size=N)
    np.testing.assert_allclose(exact(name, game_of(lambda s: sum(c[i] for i in s))).values, 0.0, atol=1e-12)


def test_the_unanimity_game_of_three():
    values = {name: exact(name, game_of(lambda s: {1, 3, 5} <= s)) for name in INTERACTIONS}
    inside = np.isin(PAIRS, [1, 3, 5]).all(axis=1)
    for name, known in (("shapley_interaction", 1 / 2), ("shapley_taylor", 1 / 3), ("banzhaf_interaction", 1 / 2)):
        np.testing.assert_allclose(values[name].values[:, 0], np.where(inside, known, 0.0), atol=1e-12)


def majority():
    """A weighted majority, and pairs that help or hinder each other: losses of 0 or 1 and a little more."""
    rng = np.random.default_rng(57)
    votes, q = rng.integers(1, 6, size=N), np.triu(rng.normal(size=(N, N)), 1) / 10
    half = votes.sum() / 2
    return game_of(lambda s: float(votes[list(s)].sum() > half) + sum(q[i, j] for i in s for j in s if i < j))


@pytest.mark.slow
@pytest.mark.parametrize("game", [random_game(N, 1, seed=54), majority()], ids=["random", "majority"])
@pytest.mark.parametrize("name", INTERACTIONS)
def test_intervals_cover(name, game):
    # 400 campaigns, per pair between the 0.05 % and 99.95 % binomial quantiles; no bias beyond 4.5 of its own errors
    known = getattr(interactions, name)(game.losses, N)
    truth, counts, errors = np.array([known[tuple(pair)] for pair in PAIRS]), np.zeros(len(PAIRS)), []
    draws = 1000 if name == "shapley_taylor" else 400
    for seed in range(400):
        design = design_for(name, seed)
        assert not interaction_index(name).objection(design, draws)
        result = aggregate(listed(name, design, game.ends), [drawn(game, design, draws)])
        half = stats.t.ppf(0.975, result.degrees_of_freedom) * result.standard_errors
        counts += (np.abs(result.values - truth) <= half)[:, 0]
        errors.append((result.values - truth)[:, 0])
    least, most = stats.binom.ppf([0.0005, 0.9995], 400, 0.95)
    assert counts.min() >= least
    assert counts.max() <= most
    assert (np.abs(np.mean(errors, axis=0)) < 4.5 * np.std(errors, axis=0, ddof=1) / 20).all()


@pytest.mark.parametrize("name", INTERACTIONS)
def test_estimates_are_within_their_own_errors_of_the_definition(name):
    # 28 pairs, one test each at 4.5 standard errors: false alarm below 28 * 7e-6
    game = random_game(N, 1, seed=55)
    known = getattr(interactions, name)(game.losses, N)
    design = design_for(name, 7)
    result = aggregate(listed(name, design, game.ends), [drawn(game, design, 3000)])
    errors = (result.values[:, 0] - [known[tuple(pair)][0] for pair in PAIRS]) / result.standard_errors[:, 0]
    assert np.abs(errors).max() < 4.5
    assert (np.abs(errors) > 0).all()


def test_the_search_finds_the_pairs_that_interact_among_all():
    n, rng = 60, np.random.default_rng(56)
    design = make_design("bernoulli", n=n, seed=2)
    members = design.draws(0, 1500)
    effects, planted = rng.normal(size=n), [(3, 17), (20, 41), (5, 58)]
    v = members @ effects + sum(4.0 * members[:, i] * members[:, j] for i, j in planted) + rng.normal(size=1500)
    ends = EndRows(full=np.zeros((1, 2)), empty=np.zeros(2), deterministic=False)
    rows = Retrains(members, -np.stack([v, v], axis=1), None, np.arange(1500), np.arange(1500))
    index = interaction_index("banzhaf_interaction")
    found = aggregate(StrongestPairs(index, design, ends, 3), [rows])
    assert {tuple(pair) for pair in found.tolist()} == set(planted)
    result = aggregate(ListedPairs(index, "loss", design, ends, found, n * (n - 1) // 2), [rows])
    assert result.certain().all()
    assert (np.abs(result.mean.values - 4.0) < 4.5 * result.mean.standard_errors).all()
    assert any("overstated" in note for note in result.notes)


def test_among_pairs_that_do_not_interact_few_are_called_certain():
    n = 40
    called = 0
    for seed in range(20):
        design = make_design("bernoulli", n=n, seed=seed)
        members, rng = design.draws(0, 500), np.random.default_rng(seed)
        v = members @ rng.normal(size=n) + rng.normal(size=500)
        ends = EndRows(full=np.zeros((1, 1)), empty=np.zeros(1), deterministic=False)
        rows = Retrains(members, -v[:, None], None, np.arange(500), np.arange(500))
        index = interaction_index("banzhaf_interaction")
        pairs = aggregate(StrongestPairs(index, design, ends, 5), [rows])
        called += bool(aggregate(ListedPairs(index, "loss", design, ends, pairs, 780), [rows]).certain().any())
    # at a false discovery rate of 5 % one in twenty calls any; 6 or more of 20 has probability 3e-4
    assert called < 6


def test_the_rows_in_any_order_and_merged_give_the_same_to_rounding():
    game, design = random_game(N, 2, seed=57), design_for("shapley_taylor", 1)
    aggregator, rows = listed("shapley_taylor", design, game.ends), drawn(game, design, 600)
    whole = aggregate(aggregator, [rows])
    order = np.random.default_rng(1).permutation(600)
    np.testing.assert_allclose(aggregate(aggregator, [rows.rows(order)]).values, whole.values, atol=1e-9)
    a, b = (aggregator.update(aggregator.empty(), rows.rows(part)) for part in (slice(250), slice(250, None)))
    merged = aggregator.second(aggregator.merge(a, b))
    state = merged.update(merged.empty(), rows)
    np.testing.assert_allclose(merged.finish(state).standard_errors, whole.standard_errors, atol=1e-9)


def test_what_cannot_be_computed_is_refused_by_name():
    assert "exhaustive" in interaction_index("shapley_interaction").objection(
        make_design("bernoulli", n=200, seed=0), 1000
    )
    assert "bernoulli with probability 0.5" in interaction_index("banzhaf_interaction").objection(
        make_design("uniform", n=20, seed=0, size=10)
    )
    assert interaction_index("banzhaf_interaction").objection(make_design("bernoulli", n=200, seed=0), 50) == ""
    few = interaction_index("shapley_taylor").objection(design_for("shapley_taylor", 0), 400)
    assert "400 rows worth 13.6: 588 draws would do" in few
    assert interaction_index("shapley_taylor").objection(design_for("shapley_taylor", 0), 588) == ""
    with pytest.raises(UnknownName, match="shapley_taylor"):
        interaction_index("shapley_tailor")
    design = make_design("bernoulli", n=30_000, seed=0)
    ends = EndRows(full=np.zeros((1, 1)), empty=np.zeros(1), deterministic=True)
    with pytest.raises(EstimatorError, match="name the pairs"):
        StrongestPairs(interaction_index("banzhaf_interaction"), design, ends, 3).empty()


def test_degrees_of_freedom_are_fewer_where_few_rows_carry_the_weight():
    rng, n, draws = np.random.default_rng(58), N, 400
    found = {}
    for name in ("banzhaf_interaction", "shapley_taylor"):
        design, index = design_for(name, 3), interaction_index(name)
        members = design.draws(0, 200_000)
        i, j = members[:, 0], members[:, 1]
        weights = pair_weights(index.sizes(n), law_of(design))
        w = np.where(i & j, weights.both[members.sum(1)], np.where(i | j, weights.one[members.sum(1)], 0.0))
        w = np.where(~i & ~j, weights.none[members.sum(1)], w)
        assert row_share(index.sizes(n), law_of(design)) == pytest.approx(np.mean(w**2) ** 2 / np.mean(w**4), rel=0.1)
        game = random_game(n, 1, seed=int(rng.integers(100)))
        found[name] = aggregate(listed(name, design, game.ends), [drawn(game, design, draws)]).degrees_of_freedom
    assert (found["banzhaf_interaction"] == draws - 1).all()
    assert (found["shapley_taylor"] < 10).all()


def test_without_rows_every_interaction_is_unknown():
    design = make_design("bernoulli", n=N, seed=0)
    ends = EndRows(full=np.zeros((1, 2)), empty=np.zeros(2), deterministic=False)
    result = aggregate(listed("banzhaf_interaction", design, ends), [])
    assert np.isnan(result.values).all()
    assert np.isinf(result.standard_errors).all()
    assert not result.certain().any()


@pytest.mark.parametrize("name", INTERACTIONS)
def test_exact_interactions_need_every_subset_equally_often(name):
    game, design = random_game(N, 2, seed=61), make_design("exhaustive", n=N, seed=0)
    aggregator, rows = listed(name, design, game.ends), drawn(game, design, 2**N)
    short = [rows.rows(slice(0, 200))]
    torn = [rows.rows(slice(0, 200)), rows.rows(slice(0, 2**N - 200))]  # a chunk missing and another twice
    for parts in (short, torn):
        result = aggregate(aggregator, parts)
        assert np.isnan(result.values).all()
        assert np.isinf(result.standard_errors).all()
        assert not result.certain().any()
        assert any("subsets are missing" in note for note in result.notes)


def kinds_of(members, pair):
    """How many of the pair are in each row, and the first alone as -1."""
    first, second = members[:, pair].T
    return np.where(first & ~second, -1, first.astype(int) + second)


@pytest.mark.parametrize("kind", [2, 1, -1, 0], ids=["both", "second alone", "first alone", "none"])
@pytest.mark.parametrize("name", INTERACTIONS)
def test_a_pair_without_rows_of_a_kind_is_unknown_never_a_quiet_zero(name, kind):
    game, design, draws = random_game(N, 2, seed=62), design_for(name, 4), 600
    rows, aggregator = drawn(game, design, draws), listed(name, design, game.ends)
    place = 9
    result = aggregate(aggregator, [rows.rows(kinds_of(rows.members, PAIRS[place]) != kind)])
    counts = np.array(
        [[np.count_nonzero(kinds_of(rows.members, pair) == each) for each in (2, 1, -1, 0)] for pair in PAIRS]
    )
    assert counts.min() > 0  # of the whole: only what was taken away is missing
    for found in (result, result.mean):
        assert np.isnan(found.values[place]).all()
        assert np.isinf(found.standard_errors[place]).all()
        assert np.isfinite(np.delete(found.values, place, axis=0)).all()
        assert np.isfinite(np.delete(found.standard_errors, place, axis=0)).all()
    assert not result.certain()[place]
    assert any("of 1 of 28 pairs no retrain" in note for note in result.notes)
