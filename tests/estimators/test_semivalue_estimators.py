"""Estimators of semivalues against enumeration, closed forms, axioms and a real ridge learner."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from estimator_material import Game, aggregator_of, assert_same_to_rounding, random_game
from oracles import enumeration, games, ridge

from estimators.aggregators import adaptive_semivalue
from estimators.aggregators.blocks import aggregate
from estimators.aggregators.semivalues import band_sizes, beta_sizes, weighted_banzhaf_sizes
from estimators.designs import make_design
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains

FOR_SHAPLEY = {"serves": (("shapley", 1.0),)}


def game_of(losses):
    n = int(np.log2(len(losses)))
    return Game(n, losses, np.zeros((len(losses), n)))


def exact(label, game):
    design = make_design("exhaustive", n=game.n, seed=0)
    return aggregate(aggregator_of(label, design, game.ends), [game.retrains(design.draws(0, 2**game.n))])


def estimated(label, design, game, draws):
    rows = replace(game.retrains(design.draws(0, draws)), units=design.units(0, draws))
    return aggregate(aggregator_of(label, design, game.ends), [rows])


def by_definition(losses, n, p):
    """Sum over c of p[c] times the mean of L(S) - L(S + i) over all S of size c without i."""
    members = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    sizes, values = members.sum(axis=1), np.zeros((n, losses.shape[1]))
    for i in range(n):
        for c in range(n):
            without = np.flatnonzero((sizes == c) & (members[:, i] == 0))
            values[i] += p[c] * (losses[without] - losses[without | 1 << i]).mean(axis=0)
    return values


@pytest.mark.parametrize(
    ("label", "p"),
    [
        ("beta_shapley(alpha=4, beta=1)", beta_sizes(7, 4, 1)),
        ("beta_shapley(alpha=16, beta=1)", beta_sizes(7, 16, 1)),
        ("beta_shapley(alpha=1, beta=1)", np.full(7, 1 / 7)),
        ("weighted_banzhaf(probability=0.3)", weighted_banzhaf_sizes(7, 0.3)),
    ],
)
def test_semivalues_with_options_equal_their_definition(label, p):
    game = random_game(7, 2, seed=7)
    np.testing.assert_allclose(exact(label, game).values, by_definition(game.losses, 7, p), atol=1e-12)
    assert value_method(label).label == label


def test_beta_shapley_of_unanimity_and_airport_games_is_their_closed_form():
    alpha, beta, n = 4.0, 2.0, 6
    carriers = {0, 2, 5}
    inside = np.prod([(beta + r) / (alpha + beta + r) for r in range(len(carriers) - 1)])
    found = exact("beta_shapley(alpha=4, beta=2)", game_of(games.unanimity(n, carriers).losses())).values[:, 0]
    np.testing.assert_allclose(found, [inside * (i in carriers) for i in range(n)], atol=1e-12)
    costs = [0.5, 1.0, 1.0, 2.5, 4.0]
    shares = [np.prod([(alpha + r) / (alpha + beta + r) for r in range(4 - k)]) for k in range(5)]
    airport = np.cumsum(np.diff([0.0, *costs]) * shares)
    found = exact("beta_shapley(alpha=4, beta=2)", game_of(games.airport(costs).losses())).values[:, 0]
    np.testing.assert_allclose(found, airport, atol=1e-12)


@pytest.mark.parametrize(
    ("label", "name", "said"),
    [
        ("shapley", "paired", FOR_SHAPLEY),
        ("shapley", "sizes", {}),
        ("shapley", "permutation", {}),
        ("beta_shapley", "sizes", {}),
        ("banzhaf", "bernoulli", {}),
        ("banzhaf", "paired", {}),
    ],
)
def test_once_every_subset_was_drawn_the_value_is_the_exact_one(label, name, said):
    game, design = random_game(5, 3, seed=1), make_design(name, n=5, seed=0, **said)
    found, truth = estimated(label, design, game, 4000), exact(label, game)
    np.testing.assert_allclose(found.values, truth.values, atol=1e-6)
    np.testing.assert_allclose(found.mean.values, truth.mean.values, atol=1e-6)
    assert found.standard_errors.max() < 1e-3


@pytest.mark.parametrize(("name", "said"), [("paired", FOR_SHAPLEY), ("sizes", {}), ("permutation", {})])
def test_estimated_shapley_values_sum_to_the_gain_of_training_on_everything(name, said):
    game, design = random_game(9, 3, seed=2), make_design(name, n=9, seed=1, **said)
    for label in ("shapley", "shapley_permutations") if name == "permutation" else ("shapley",):
        found = estimated(label, design, game, 64).values.sum(axis=0)
        np.testing.assert_allclose(found, game.losses[0] - game.losses[-1], atol=1e-9)


def test_pairs_give_an_additive_and_a_quadratic_game_exactly_from_four_rows_an_instance():
    rng = np.random.default_rng(0)
    n, q = 10, np.triu(rng.normal(size=(10, 10)), 1)
    for known in (games.additive(rng.normal(size=n), 0.7), games.quadratic(rng.normal(size=n), q + q.T)):
        game = game_of(known.losses())
        for label, said in (("shapley", FOR_SHAPLEY), ("banzhaf", {})):
            found = estimated(label, make_design("paired", n=n, seed=3, **said), game, 4 * n)
            np.testing.assert_allclose(found.values[:, 0], known.shapley, atol=1e-4)


def test_a_real_ridge_learner_enumerated_and_estimated():
    rng = np.random.default_rng(4)
    X, y, X_test, y_test = rng.normal(size=(9, 3)), rng.normal(size=9), rng.normal(size=(6, 3)), rng.normal(size=6)
    members = (np.arange(2**9)[:, None] >> np.arange(9) & 1).astype(bool)
    losses = np.array(
        [ridge.squared_errors(X[row], y[row], X_test, y_test, 0.5) if row.any() else y_test**2 for row in members]
    )
    game = game_of(losses)
    truth = exact("shapley", game)
    np.testing.assert_allclose(truth.values, enumeration.shapley_by_subsets(losses, 9), atol=1e-12)
    found = estimated("shapley", make_design("paired", n=9, seed=2, **FOR_SHAPLEY), game, 160)
    studentised = (found.values - truth.values) / found.standard_errors
    assert np.abs(studentised).max() < 5.5  # 54 values, 79 degrees of freedom: 2e-5 by Bonferroni
    walked = estimated("shapley_permutations", make_design("permutation", n=9, seed=2), game, 160)
    assert found.standard_errors.mean() < 0.6 * walked.standard_errors.mean()


def test_all_orders_walked_once_give_the_shapley_value_and_truncation_leaves_zeros():
    n, game = 4, random_game(4, 2, seed=5)
    design = make_design("permutation", n=n, seed=0)
    walks = [[sum(1 << i for i in order[:size]) for size in range(1, n)] for order in permutations(range(n))]
    numbers = np.array(walks).ravel()
    members = (numbers[:, None] >> np.arange(n) & 1).astype(bool)
    rows = Retrains(members, game.losses[numbers], units=np.repeat(np.arange(len(walks)), n - 1))
    aggregator = aggregator_of("shapley_permutations", design, game.ends)
    found = aggregate(aggregator, [rows])
    np.testing.assert_allclose(found.values, enumeration.shapley_by_subsets(game.losses, n), atol=1e-13)
    first = rows.rows(np.array([0, 1]))  # one walk, stopped after two instances
    stopped = aggregate(aggregator, [first])
    order = next(permutations(range(n)))
    expected = np.zeros((n, 2))
    expected[order[0]] = game.losses[0] - game.losses[numbers[0]]
    expected[order[1]] = game.losses[numbers[0]] - game.losses[numbers[1]]
    np.testing.assert_allclose(stopped.values, expected, atol=1e-13)
    assert np.isnan(stopped.standard_errors).all()


def test_least_squares_over_the_whole_cube_is_the_banzhaf_value_and_pairs_leave_pairs_of_instances_alone():
    game, design = random_game(7, 3, seed=12), make_design("bernoulli", n=7, seed=0)
    members = make_design("exhaustive", n=7, seed=0).draws(0, 128)
    found = aggregate(aggregator_of("banzhaf_least_squares", design, game.ends), [game.retrains(members)])
    np.testing.assert_allclose(found.values, enumeration.banzhaf_by_subsets(game.losses, 7), atol=1e-12)
    rng = np.random.default_rng(6)
    q = np.triu(rng.normal(size=(7, 7)), 1)
    known = games.quadratic(rng.normal(size=7), q + q.T)
    paired = estimated("banzhaf_least_squares", make_design("paired", n=7, seed=1), game_of(known.losses()), 40)
    np.testing.assert_allclose(paired.values[:, 0], known.banzhaf, atol=1e-12)
    few = estimated("banzhaf_least_squares", design, game, 16)
    assert np.isnan(few.values).all()
    assert "least squares needs 17" in few.notes[0]


def test_antithetic_walks_are_exact_for_games_of_pairs():
    rng = np.random.default_rng(6)
    q = np.triu(rng.normal(size=(7, 7)), 1)
    known = games.quadratic(rng.normal(size=7), q + q.T)
    design = make_design("permutation", n=7, seed=0, order="antithetic")
    found = estimated("shapley_permutations", design, game_of(known.losses()), design.unit_rows * 3)
    np.testing.assert_allclose(found.values[:, 0], known.shapley, atol=1e-12)


def test_the_expected_effect_at_a_size_over_all_subsets_is_its_definition():
    n, m, game = 7, 4, random_game(7, 3, seed=8)
    design = make_design("uniform", n=n, seed=0, size=(m - 1, m))
    numbers = [sum(1 << i for i in chosen) for size in (m - 1, m) for chosen in combinations(range(n), size)]
    members = (np.array(numbers)[:, None] >> np.arange(n) & 1).astype(bool)
    label = f"expected_leave_one_out(size={m})"
    found = aggregate(aggregator_of(label, design, game.ends), [game.retrains(members)])
    np.testing.assert_allclose(found.values, by_definition(game.losses, n, band_sizes(n, m, m)), atol=1e-12)
    assert "design uniform with size: [3, 4]" in value_method(label).accepts(make_design("uniform", n=n, seed=0))


@pytest.mark.parametrize(("label", "name", "said"), [("shapley", "sizes", {}), ("banzhaf", "paired", {})])
def test_more_rows_than_a_block_are_averaged_over_blocks_and_merge(monkeypatch, label, name, said):
    monkeypatch.setattr(adaptive_semivalue, "ROWS_AT_A_TIME", 64)
    game, design = random_game(10, 3, seed=9), make_design(name, n=10, seed=0, **said)
    rows = replace(game.retrains(design.draws(0, 256)), units=design.units(0, 256))
    aggregator = aggregator_of(label, design, game.ends)
    whole = aggregate(aggregator, [rows])
    a, b = (aggregator.update(aggregator.empty(), rows.rows(part)) for part in (slice(0, 128), slice(128, 256)))
    assert_same_to_rounding(whole, aggregator.finish(aggregator.merge(a, b)))
    assert len(a.waiting.units) == 0
    truth = exact(label, game)
    assert np.abs((whole.values - truth.values) / whole.standard_errors).max() < 5.0


def test_instances_without_rows_on_a_side_are_unknown():
    game, design = random_game(6, 2, seed=10), make_design("bernoulli", n=6, seed=0)
    members = design.draws(0, 40)
    members[:, 2] = True
    found = aggregate(aggregator_of("banzhaf", design, game.ends), [game.retrains(members)])
    assert np.isnan(found.values[2]).all()
    assert np.isinf(found.standard_errors[2]).all()
    assert np.isfinite(found.values[[0, 1, 3, 4, 5]]).all()


def test_a_loss_that_never_varies_has_value_and_error_zero():
    design = make_design("bernoulli", n=6, seed=0)
    losses = np.column_stack([np.full(64, 0.3), np.linspace(0, 1, 64)])
    found = estimated("banzhaf", design, game_of(losses), 50)
    assert not found.values[:, 0].any()
    assert not found.standard_errors[:, 0].any()
    assert not found.certain()[:, 0].any()


def test_a_learner_that_depends_on_its_seed_needs_replicates_of_d_for_errors_of_values_that_weight_it():
    game, design = random_game(6, 2, seed=11), make_design("sizes", n=6, seed=0)
    rows = game.retrains(design.draws(0, 60))
    once = EndRows(full=game.losses[-1:], empty=game.losses[0], deterministic=False)
    found = aggregate(aggregator_of("shapley", design, once), [rows])
    assert np.isnan(found.standard_errors).all()
