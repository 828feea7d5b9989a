"""Errors that would be too small are not: sides without rows, losses that never vary, learners that depend on seeds."""

import numpy as np
import pytest
from estimator_material import aggregator_of, design_of, random_game
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from estimators.aggregators.blocks import aggregate
from estimators.aggregators.welch import SideSums, out_minus_in
from estimators.errors import WrongDesign
from estimators.retrains import EndRows, Retrains


def contrast(members, losses, *, full=None):
    """The difference of means of hand-made rows."""
    full = losses[:1] if full is None else full
    design = design_of("bernoulli", members.shape[1])
    # a single replicate of D tells no noise: such a learner is deterministic
    ends = EndRows(full=np.asarray(full, dtype=float), empty=losses[0], deterministic=len(full) == 1)
    return aggregate(aggregator_of("banzhaf_sample_reuse", design, ends), [Retrains(members, losses)])


@pytest.mark.parametrize("pivot", [0.0, 2.0, 1e4])
def test_values_errors_and_degrees_of_freedom_are_those_of_welchs_test_in_scipy(pivot):
    rng = np.random.default_rng(1)
    members = design_of("bernoulli", 6).draws(0, 50)
    losses = rng.lognormal(size=(50, 3)) * [1.0, 10.0, 1e-3] + pivot
    result = contrast(members, losses, full=np.full((1, 3), pivot))
    for i in range(6):
        test = stats.ttest_ind(losses[~members[:, i]], losses[members[:, i]], equal_var=False)
        np.testing.assert_allclose(result.values[i] / result.standard_errors[i], test.statistic, rtol=1e-7)
        np.testing.assert_allclose(result.degrees_of_freedom[i], test.df, rtol=1e-7)


def test_an_instance_on_one_side_only_is_nan_with_an_infinite_error_never_zero():
    members = design_of("bernoulli", 4).draws(0, 40)
    members[:, 1], members[:, 2] = True, False
    result = contrast(members, np.random.default_rng(2).normal(size=(40, 3)))
    for i in (1, 2):
        assert np.isnan(result.values[i]).all()
        assert np.isinf(result.standard_errors[i]).all()
        assert np.isnan(result.mean.values[i])
        assert np.isinf(result.mean.half_widths()[i])
    assert np.isfinite(result.values[[0, 3]]).all()
    assert not result.certain()[[1, 2]].any()
    assert any("in no subset" in note for note in result.notes)
    assert any("out of no subset" in note for note in result.notes)


def test_a_side_with_a_single_row_keeps_the_value_without_an_error():
    members = design_of("bernoulli", 4).draws(0, 40)
    members[:, 1] = True
    members[7, 1] = False
    losses = np.random.default_rng(3).normal(size=(40, 2))
    result = contrast(members, losses)
    np.testing.assert_allclose(result.values[1], losses[7] - np.delete(losses, 7, axis=0).mean(axis=0))
    assert np.isnan(result.standard_errors[1]).all()
    assert not result.certain()[1].any()
    assert any("single subset" in note for note in result.notes)


@pytest.mark.parametrize("level", [0.0, 1.0, 0.1, 1e-9, 12345.678])
@pytest.mark.parametrize("replicates", [1, 3, 7, 16])
def test_a_loss_that_never_varies_gives_zero_that_is_never_certain(level, replicates):
    members = design_of("bernoulli", 5).draws(0, 400)
    losses = np.column_stack([np.full(400, level), np.random.default_rng(4).normal(size=400)])
    result = contrast(members, losses, full=np.full((replicates, 2), level))
    assert not result.values[:, 0].any()
    assert not result.standard_errors[:, 0].any()
    assert not result.certain()[:, 0].any()
    assert any("1 of 2 test instances" in note for note in result.notes)


def test_a_loss_that_never_varies_is_zero_wherever_the_pivot_stands():
    members = design_of("bernoulli", 5).draws(0, 400)
    result = contrast(members, np.full((400, 2), 0.1), full=np.array([[0.3, 1e3]]))
    assert not result.values.any()
    assert not result.certain().any()


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 10, 40])
def test_sides_that_are_constant_but_differ_are_judged_no_bolder_than_by_a_permutation_test(rows):
    # All `rows` retrains with the instance lose 0, all `rows` without it lose 1. Fisher's exact test is the oracle;
    # t at few degrees of freedom comes within a factor of 1.5 of it on the bold side, never more.
    members = np.repeat([[True, False], [False, True]], rows, axis=0)
    losses = np.repeat([[0.0], [1.0]], rows, axis=0)
    result = contrast(members, losses)
    assert result.values[0, 0] == 1.0
    assert result.standard_errors[0, 0] > 0.0
    p = 2 * stats.t.sf(1.0 / result.standard_errors[0, 0], result.degrees_of_freedom[0, 0])
    exact = stats.fisher_exact([[rows, 0], [0, rows]]).pvalue
    assert p > exact / 1.5


def test_a_side_that_never_varied_takes_the_variance_of_all_rows():
    # Instance 0 is in the 70 rows that never vary, instance 1 in the 30 others: the unvaried side is in, then out.
    members = np.repeat([[True, False], [False, True]], [70, 30], axis=0)
    losses = np.zeros((100, 1))
    losses[[75, 80, 90]] = 1.0
    result = contrast(members, losses)
    expected = np.sqrt(losses.var(ddof=1) / 70 + losses[70:].var(ddof=1) / 30)
    np.testing.assert_allclose(result.standard_errors[:, 0], expected, rtol=1e-12)


def test_zero_one_losses_without_influence_are_rarely_called_certain():
    # 200 campaigns of 60 retrains; losses 1 with probability 0.03, independent of members: p <= 0.05 in at most
    # 5 % of pairs (binomial bound at 1e-4 on 200 independent campaigns, one pair each). Fixed seed.
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        members = design_of("uniform", 10, seed=seed).draws(0, 60)
        losses = (rng.random((60, 1)) < 0.03).astype(float)
        result = contrast(members, losses)
        t = abs(result.values[0, 0]) / max(result.standard_errors[0, 0], 1e-300)
        hits += 2 * stats.t.sf(t, result.degrees_of_freedom[0, 0]) <= 0.05
    assert hits <= stats.binom.ppf(1 - 1e-4, 200, 0.05)


def test_a_held_out_loss_that_never_varies_has_the_error_of_the_rule_of_three():
    members = np.ones((303, 2), dtype=bool)
    members[:300, 0] = False
    design = design_of("bernoulli", 2)
    ends = EndRows(full=np.ones((1, 1)), empty=np.ones(1), deterministic=False)
    retrains = Retrains(members, np.ones((303, 1)), np.ones((303, 2)))
    result = aggregate(aggregator_of("held_out_loss", design, ends), [retrains])
    assert result.values[0] == pytest.approx(1.0, abs=1e-12)
    assert result.standard_errors[0] == pytest.approx(np.sqrt(3) / 303, rel=1e-9)
    assert np.isnan(result.values[1])


@given(
    sides=st.lists(st.tuples(st.booleans(), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=40),
    pivot=st.floats(-1e6, 1e6, width=32),
)
@settings(max_examples=100, deadline=None)
def test_no_losses_make_an_error_negative_or_a_sign_certain_without_one(sides, pivot):
    inside = np.array([side for side, _ in sides])
    x = np.array([loss for _, loss in sides]) - pivot
    estimates = out_minus_in(
        SideSums(
            rows=len(x),
            counts=np.array([inside.sum()]),
            sums=np.array([x[inside].sum()]),
            squares=np.array([(x[inside] ** 2).sum()]),
            total=np.array([x.sum()]),
            total_squares=np.array([(x**2).sum()]),
        )
    )
    error = estimates.standard_errors[0]
    if min(inside.sum(), (~inside).sum()) == 0:
        assert np.isinf(error)
    elif min(inside.sum(), (~inside).sum()) == 1:
        assert np.isnan(error)
    else:
        assert error >= 0.0
        assert error > 0.0 or estimates.values[0] == 0.0
        assert 0.999 <= estimates.degrees_of_freedom[0] <= len(x) - 2 + 1e-6


def stochastic_ends(game, noise, replicates, rng):
    full = game.losses[-1] + noise * rng.normal(size=(replicates, game.losses.shape[1]))
    return EndRows(full=full, empty=game.losses[0], deterministic=False)


@pytest.mark.parametrize(("value", "design_name"), [("leave_one_out", "leave_one_out"), ("shapley", "exhaustive")])
def test_one_replicate_of_d_gives_values_of_a_stochastic_learner_but_no_error(value, design_name):
    game, design = random_game(6, 2, seed=1), design_of(design_name, 6)
    ends = stochastic_ends(game, 0.1, 1, np.random.default_rng(0))
    result = aggregate(aggregator_of(value, design, ends), [game.retrains(design.draws(0, design.draw_count))])
    assert np.isfinite(result.values).all()
    assert np.isnan(result.standard_errors).all()
    assert any("no error" in note for note in result.notes)


def test_replicates_of_d_that_agree_by_chance_do_not_make_leave_one_out_certain():
    # All replicates of D classify a test instance rightly, 3 of 40 leave-one-out retrains do not: noise, not effect.
    design = design_of("leave_one_out", 40)
    losses = np.zeros((40, 2))
    losses[[3, 11, 30], 0] = 1.0
    ends = EndRows(full=np.zeros((7, 2)), empty=np.ones(2), deterministic=False)
    result = aggregate(aggregator_of("leave_one_out", design, ends), [Retrains(design.draws(0, 40), losses)])
    assert (result.standard_errors[:, 0] > 0.2).all()
    assert not result.certain().any()
    assert not result.values[:, 1].any()
    assert not result.standard_errors[:, 1].any()


def test_leave_one_out_of_all_ones_against_zeros_is_not_certain_without_doubt():
    design = design_of("leave_one_out", 10)
    ends = EndRows(full=np.zeros((4, 1)), empty=np.ones(1), deterministic=False)
    result = aggregate(aggregator_of("leave_one_out", design, ends), [Retrains(design.draws(0, 10), np.ones((10, 1)))])
    assert (result.standard_errors > 0.3).all()


@pytest.mark.parametrize("replicates", [2, 3, 7, 16])
@pytest.mark.parametrize(("value", "design_name"), [("leave_one_out", "leave_one_out"), ("shapley", "exhaustive")])
def test_a_stochastic_learners_loss_that_never_varies_is_zero_whatever_the_mean_of_replicates_rounds_to(
    value, design_name, replicates
):
    design = design_of(design_name, 6)
    members = design.draws(0, design.draw_count)
    ends = EndRows(full=np.full((replicates, 2), 0.1), empty=np.full(2, 0.1), deterministic=False)
    result = aggregate(aggregator_of(value, design, ends), [Retrains(members, np.full((len(members), 2), 0.1))])
    assert not result.values.any()
    assert not result.mean.certain().any()
    assert not result.certain().any()


def test_replicates_of_each_subset_sharpen_the_error_of_leave_one_out():
    game, design, rng = random_game(6, 2, seed=2), design_of("leave_one_out", 6), np.random.default_rng(1)
    members = np.repeat(design.draws(0, 6), 5, axis=0)
    clean = game.retrains(members)
    losses = clean.losses + 0.2 * rng.normal(size=clean.losses.shape)
    ends = stochastic_ends(game, 0.2, 4, rng)
    result = aggregate(aggregator_of("leave_one_out", design, ends), [Retrains(members, losses)])
    groups = losses.reshape(6, 5, 2)
    squares = ((groups - groups.mean(axis=1, keepdims=True)) ** 2).sum(axis=(0, 1))
    squares += ((ends.full - ends.full.mean(axis=0)) ** 2).sum(axis=0)
    expected = np.sqrt(squares / 27 * (1 / 5 + 1 / 4))
    np.testing.assert_allclose(result.standard_errors, np.broadcast_to(expected, (6, 2)), rtol=1e-9)
    assert (result.degrees_of_freedom == 27).all()


def test_leave_one_out_refuses_rows_of_another_size():
    design = design_of("leave_one_out", 5)
    ends = EndRows(full=np.zeros((2, 1)), empty=np.ones(1), deterministic=False)
    with pytest.raises(WrongDesign, match="a retrain on 3 of 5"):
        aggregate(
            aggregator_of("leave_one_out", design, ends),
            [Retrains(np.array([[True, True, True, False, False]]), np.ones((1, 1)))],
        )


@pytest.mark.parametrize("times", [1, 2])
def test_the_error_of_exact_values_is_the_noise_of_d_through_the_weights_of_all_subsets(times):
    game, design = random_game(4, 3, seed=4), design_of("exhaustive", 4)
    ends = stochastic_ends(game, 0.3, 5, np.random.default_rng(2))
    rows = game.retrains(np.tile(design.draws(0, 16), (times, 1)))
    result = aggregate(aggregator_of("shapley", design, ends), [rows])
    # by size of the subset that i joins: 1, 3, 3, 1 subsets of weight 1/4, 1/12, 1/12, 1/4, each in two differences
    weights = 2 * (1 / 16 + 3 / 144 + 3 / 144 + 1 / 16)
    expected = np.sqrt(weights * ends.full.var(axis=0, ddof=1) / times)
    np.testing.assert_allclose(result.standard_errors, np.broadcast_to(expected, (4, 3)), rtol=1e-12)
    np.testing.assert_allclose(
        result.mean.standard_errors, np.sqrt(weights * ends.full.mean(axis=1).var(ddof=1) / times), rtol=1e-12
    )
    assert (result.degrees_of_freedom == 4).all()


@pytest.mark.parametrize("value", ["shapley", "banzhaf"])
def test_exact_values_are_unknown_until_every_subset_is_there(value):
    game, design = random_game(5, 2, seed=3), design_of("exhaustive", 5)
    aggregator = aggregator_of(value, design, game.ends)
    rows = game.retrains(np.delete(design.draws(0, 32), 17, axis=0))
    result = aggregate(aggregator, [rows])
    assert np.isnan(result.values).all()
    assert np.isinf(result.standard_errors).all()
    assert "1 of 32 subsets" in result.notes[0]
    whole = result + aggregate(aggregator, [game.retrains(design.draws(17, 18))])
    assert np.isfinite(whole.values).all()
