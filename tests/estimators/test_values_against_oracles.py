"""Values against ground truths that do not come from the package: enumeration, closed forms, ridge, axioms."""

import numpy as np
import pytest
from estimator_material import aggregator_of, arrays_of, design_of, draw_count, random_game
from oracles import enumeration, games, ridge
from scipy import stats

from estimators.aggregators.blocks import aggregate
from estimators.aggregators.semivalues import banzhaf_sizes, row_weights, shapley_sizes, squared_weight_sum
from estimators.designs import make_design
from estimators.designs.uniform import Uniform
from estimators.retrains import EndRows, Retrains

# Statistical tests below take the largest of m studentised errors against Student's t at 1e-4 / m (Bonferroni): a
# false-alarm rate of 1e-4 for each test, with fixed seeds.
FALSE_ALARM = 1e-4


def exact(value, losses, n):
    design = design_of("exhaustive", n)
    ends = EndRows(full=losses[-1:], empty=losses[0], deterministic=True)
    return aggregate(aggregator_of(value, design, ends), [Retrains(design.draws(0, 2**n), losses)])


def estimated(value, design, game, draws):
    return aggregate(aggregator_of(value, design, game.ends), [game.retrains(design.draws(0, draws))])


def assert_within_its_own_errors(result, truth):
    t = np.abs(result.values - truth) / result.standard_errors
    p = 2 * stats.t.sf(t, result.degrees_of_freedom)
    assert p.min() > FALSE_ALARM / p.size


@pytest.mark.parametrize(
    ("value", "oracle"), [("shapley", enumeration.shapley_by_subsets), ("banzhaf", enumeration.banzhaf_by_subsets)]
)
@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_exact_values_equal_their_definition(value, oracle, n):
    game = random_game(n, 3, seed=n)
    result = exact(value, game.losses, n)
    truth = oracle(game.losses, n)
    np.testing.assert_allclose(result.values, truth, atol=1e-13)
    np.testing.assert_allclose(result.mean.values, truth.mean(axis=1), atol=1e-13)
    assert not result.standard_errors.any()


def test_exact_shapley_equals_the_mean_over_all_orders():
    game = random_game(6, 2, seed=4)
    np.testing.assert_allclose(
        exact("shapley", game.losses, 6).values, enumeration.shapley_by_orders(game.losses, 6), atol=1e-13
    )


@pytest.mark.parametrize("game", games.all_games(), ids=lambda game: game.name)
def test_exact_values_equal_closed_forms(game):
    for value in ("shapley", "banzhaf"):
        np.testing.assert_allclose(exact(value, game.losses(), game.n).values[:, 0], getattr(game, value), atol=1e-13)


def test_shapley_values_sum_to_the_gain_of_training_on_everything():
    game = random_game(8, 4, seed=1)
    np.testing.assert_allclose(
        exact("shapley", game.losses, 8).values.sum(axis=0), game.losses[0] - game.losses[-1], atol=1e-12
    )


@pytest.mark.parametrize("value", ["shapley", "banzhaf"])
def test_an_instance_that_never_matters_is_worth_exactly_zero(value):
    game = random_game(7, 5, seed=2)
    blind = game.losses[np.arange(2**7) & ~(1 << 3)] * 1e6
    result = exact(value, blind, 7)
    assert not result.values[3].any()
    assert not result.certain()[3].any()
    assert result.certain()[[0, 1, 2, 4, 5, 6]].all()


@pytest.mark.parametrize("value", ["shapley", "banzhaf"])
def test_an_instance_that_always_adds_the_same_is_worth_that(value):
    game = random_game(6, 2, seed=3)
    k = np.arange(2**6)
    dummy = game.losses[k & ~1] - 0.25 * (k & 1)[:, None]
    np.testing.assert_allclose(exact(value, dummy, 6).values[0], 0.25, atol=1e-13)


@pytest.mark.parametrize("value", ["shapley", "banzhaf"])
def test_instances_that_may_be_swapped_are_worth_the_same(value):
    game = random_game(6, 2, seed=5)
    k = np.arange(2**6)
    swapped = (k & ~0b11) | (k & 1) << 1 | (k & 2) >> 1
    values = exact(value, game.losses + game.losses[swapped], 6).values
    np.testing.assert_allclose(values[0], values[1], atol=1e-13)


@pytest.mark.parametrize("value", ["shapley", "banzhaf"])
def test_values_are_linear_in_the_loss(value):
    game = random_game(6, 2, seed=6)
    both = np.column_stack([game.losses, 2 * game.losses[:, 0] - 3 * game.losses[:, 1]])
    values = exact(value, both, 6).values
    np.testing.assert_allclose(values[:, 2], 2 * values[:, 0] - 3 * values[:, 1], atol=1e-12)


@pytest.mark.parametrize("sizes", [shapley_sizes, banzhaf_sizes])
@pytest.mark.parametrize("n", [1, 2, 13, 20])
def test_size_weights_are_probabilities_and_row_weights_those_of_a_semivalue(sizes, n):
    p = sizes(n)
    assert p.sum() == pytest.approx(1.0, abs=1e-13)
    inside, outside = row_weights(p)
    ways = np.array([float(enumeration.comb(n - 1, c)) for c in range(n)])
    assert (inside[1:] * ways).sum() == pytest.approx(1.0, abs=1e-12)
    assert (outside[:-1] * ways).sum() == pytest.approx(-1.0, abs=1e-12)
    squares = (inside[1:] ** 2 * ways).sum() + (outside[:-1] ** 2 * ways).sum()
    assert squared_weight_sum(p) == pytest.approx(squares, rel=1e-12)


@pytest.mark.parametrize("m", [3, 6])
def test_downsampling_estimates_its_definition_within_its_own_errors(m):
    game = random_game(9, 4, seed=m)
    truth = enumeration.downsampling_by_subsets(game.losses, 9, m)
    result = estimated("downsampling", Uniform(n=9, size=m, seed=1), game, 3000)
    assert_within_its_own_errors(result, truth)
    assert_within_its_own_errors(result.mean, truth.mean(axis=1))


def test_downsampling_over_all_subsets_of_a_size_equals_its_definition_and_sums_to_zero():
    game, m = random_game(9, 4, seed=8), 6
    everything = design_of("exhaustive", 9).draws(0, 2**9)
    rows = game.retrains(everything[everything.sum(axis=1) == m])
    result = aggregate(aggregator_of("downsampling", Uniform(n=9, size=m, seed=0), game.ends), [rows])
    truth = enumeration.downsampling_by_subsets(game.losses, 9, m)
    np.testing.assert_allclose(result.values, truth, atol=1e-13)
    np.testing.assert_allclose(result.values.sum(axis=0), 0.0, atol=1e-12)
    leave_one_out = enumeration.leave_one_out_by_definition(game.losses, 9)
    assert np.abs(leave_one_out.sum(axis=0)).max() > 0.1


def test_downsampling_of_an_additive_game_is_the_centred_effect():
    rng = np.random.default_rng(3)
    c, m = rng.normal(size=8), 5
    losses = games.additive(c, 1.0).losses()
    everything = design_of("exhaustive", 8).draws(0, 2**8)
    rows = everything[everything.sum(axis=1) == m]
    ends = EndRows(full=losses[-1:], empty=losses[0], deterministic=True)
    result = aggregate(
        aggregator_of("downsampling", Uniform(n=8, size=m, seed=0), ends),
        [Retrains(rows, losses[rows @ (1 << np.arange(8))])],
    )
    np.testing.assert_allclose(result.values[:, 0], 8 / 7 * (c - c.mean()), atol=1e-13)


def test_banzhaf_by_sample_reuse_estimates_its_definition_within_its_own_errors():
    game = random_game(9, 4, seed=11)
    truth = enumeration.banzhaf_by_subsets(game.losses, 9)
    result = estimated("banzhaf_sample_reuse", design_of("bernoulli", 9), game, 3000)
    assert_within_its_own_errors(result, truth)
    assert_within_its_own_errors(result.mean, truth.mean(axis=1))


def test_banzhaf_by_sample_reuse_over_all_subsets_is_the_exact_value():
    game = random_game(8, 4, seed=12)
    rows = game.retrains(design_of("exhaustive", 8).draws(0, 2**8))
    reused = aggregate(aggregator_of("banzhaf_sample_reuse", design_of("bernoulli", 8), game.ends), [rows])
    np.testing.assert_allclose(reused.values, exact("banzhaf", game.losses, 8).values, atol=1e-13)


@pytest.mark.parametrize(
    ("design", "size"), [(Uniform(n=9, size=6, seed=2), 6), (make_design("bernoulli", n=9, seed=2), None)]
)
def test_memorization_and_held_out_loss_estimate_their_definitions_within_their_own_errors(design, size):
    game = random_game(9, 1, seed=13)
    kept, left = enumeration.mean_own_losses(game.own, 9, size=size)
    assert_within_its_own_errors(estimated("memorization", design, game, 3000), left - kept)
    assert_within_its_own_errors(estimated("held_out_loss", design, game, 3000), left)


def test_memorization_is_the_diagonal_of_downsampling_on_the_training_set():
    game, design = random_game(9, 1, seed=14), Uniform(n=9, size=6, seed=2)
    rows = game.retrains(design.draws(0, 700))
    ends = EndRows(full=game.own[-1:], empty=game.own[0], deterministic=True)
    matrix = aggregate(aggregator_of("downsampling", design, ends), [Retrains(rows.members, rows.train_losses)])
    diagonal = aggregate(aggregator_of("memorization", design, game.ends), [rows])
    for whole, part in zip(arrays_of(matrix)[:3], arrays_of(diagonal), strict=True):
        np.testing.assert_allclose(np.diag(whole), part, rtol=1e-10)


def test_leave_one_out_equals_its_definition():
    game, design = random_game(8, 3, seed=15), design_of("leave_one_out", 8)
    result = estimated("leave_one_out", design, game, 8)
    np.testing.assert_allclose(result.values, enumeration.leave_one_out_by_definition(game.losses, 8), atol=1e-14)
    assert not result.standard_errors.any()


def test_leave_one_out_of_ridge_regression_equals_the_closed_form():
    rng = np.random.default_rng(16)
    X, X_test = rng.normal(size=(30, 4)), rng.normal(size=(11, 4))
    y, y_test = rng.normal(size=30), rng.normal(size=11)
    design = design_of("leave_one_out", 30)
    members = design.draws(0, 30)
    losses = np.array([ridge.squared_errors(X[row], y[row], X_test, y_test, 0.3) for row in members])
    full = ridge.squared_errors(X, y, X_test, y_test, 0.3)
    ends = EndRows(full=full[None], empty=y_test**2, deterministic=True)
    result = aggregate(aggregator_of("leave_one_out", design, ends), [Retrains(members, losses)])
    np.testing.assert_allclose(result.values, ridge.leave_one_out(X, y, X_test, y_test, 0.3), atol=1e-12)


def test_the_sign_is_that_of_a_helpful_and_a_harmful_instance():
    # Instance 0 lowers every loss by 1, instance 1 raises it by 1: the same sign for every value that has one.
    members = design_of("exhaustive", 4).draws(0, 16)
    losses = (2.0 - members[:, :1] + members[:, 1:2]) * np.ones((1, 3)) + 1e-3 * members[:, 2:3]
    ends = EndRows(full=losses[-1:], empty=losses[0], deterministic=True)
    for value, name in (
        ("leave_one_out", "leave_one_out"),
        ("downsampling", "uniform"),
        ("banzhaf", "bernoulli"),
        ("shapley", "exhaustive"),
    ):
        design = make_design(name, n=4, seed=1, **({"size": 2} if name == "uniform" else {}))
        drawn = design.draws(0, draw_count(design, 200))
        result = aggregate(aggregator_of(value, design, ends), [Retrains(drawn, losses[drawn @ (1 << np.arange(4))])])
        assert (result.values[0] > 0.5).all()
        assert (result.values[1] < -0.5).all()
        assert result.proponents(0, 1)["train_index"].tolist() == [0]
        assert result.opponents(0, 1)["train_index"].tolist() == [1]
