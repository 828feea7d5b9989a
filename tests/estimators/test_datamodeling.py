"""Linear datamodeling scores: against SciPy, on additive games, under shuffling, and the size of their errors."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from estimators.evaluation.datamodeling import (
    ceiling_of_halves,
    ceiling_of_replicates,
    linear_datamodeling_score,
)
from estimators.evaluation.rank_agreement import rank_agreement

RNG = np.random.default_rng


def additive(subsets=120, n=30, tests=6, noise=0.0, seed=0):
    """Values [n, tests], members, and losses - members @ values + noise: an additive game."""
    rng = RNG(seed)
    values, members = rng.normal(size=(n, tests)), rng.random((subsets, n)) < 0.5
    return values, members, -(members @ values) + noise * rng.normal(size=(subsets, tests))


def test_columns_are_scipys_with_ties():
    rng = RNG(1)
    a, b = rng.integers(0, 5, (40, 7)).astype(float), rng.integers(0, 9, (40, 7)).astype(float)
    found = rank_agreement(a, b)
    exact = [spearmanr(a[:, j], b[:, j]).statistic for j in range(7)]
    np.testing.assert_allclose(found.columns, exact, atol=1e-13)
    assert found.score == pytest.approx(np.mean(exact), abs=1e-13)


def test_a_resample_has_the_score_of_ranking_it_anew():
    rng = RNG(2)
    a, b = rng.integers(0, 6, (25, 4)).astype(float), rng.normal(size=(25, 4))
    units = np.repeat(np.arange(5), 5)
    found = rank_agreement(a, b, units=units, seed=3)
    drawn = RNG(3).multinomial(5, np.full(5, 0.2), size=200)
    for sample in (0, 7, 199):
        rows = np.repeat(np.arange(25), drawn[sample][units])
        anew = np.mean([spearmanr(a[rows, j], b[rows, j]).statistic for j in range(4)])
        assert found.resampled[sample] == pytest.approx(anew, abs=1e-12)


def test_the_true_values_of_an_additive_game_score_1():
    values, members, losses = additive()
    found = linear_datamodeling_score(values, members, losses)
    assert (found.score, found.standard_error) == (pytest.approx(1.0, abs=1e-12), pytest.approx(0.0, abs=1e-12))
    assert linear_datamodeling_score(-values, members, losses).score == pytest.approx(-1.0, abs=1e-12)


def test_predictions_of_other_subsets_score_0_within_their_error():
    # 40 shuffles: |score| beyond 4 errors has a chance of 6e-5 each, 0.3 % in all. Fixed seed.
    values, members, losses = additive(noise=1.0)
    rng = RNG(4)
    for _ in range(40):
        found = linear_datamodeling_score(values, members, losses[rng.permutation(len(losses))])
        assert abs(found.score) < 4 * found.standard_error


def test_the_bootstrap_error_is_the_spread_over_draws_of_subsets():
    # The mean of 60 estimated errors against the spread of 400 scores: within 15 %, about 4 errors of either.
    values, _, _ = additive()
    scores, errors = [], []
    for seed in range(400):
        rng = RNG(1000 + seed)
        members = rng.random((60, 30)) < 0.5
        losses = -(members @ values) + 4.0 * rng.normal(size=(60, 6))
        if seed < 60:
            errors.append(linear_datamodeling_score(values, members, losses).standard_error)
        predicted, measured = members @ values, -losses
        scores.append(np.mean([spearmanr(predicted[:, j], measured[:, j]).statistic for j in range(6)]))
    assert np.mean(errors) == pytest.approx(np.std(scores, ddof=1), rel=0.15)


def test_rows_drawn_together_are_resampled_together():
    # Every row 4 times over: alone they would halve the error; as units they leave it as it was.
    values, members, losses = additive(subsets=60, noise=4.0)
    once = linear_datamodeling_score(values, members, losses)
    four = np.repeat(np.arange(60), 4)
    units = linear_datamodeling_score(values, members[four], losses[four], units=four)
    alone = linear_datamodeling_score(values, members[four], losses[four])
    assert units.standard_error == pytest.approx(once.standard_error, rel=0.02)
    assert alone.standard_error < 0.65 * once.standard_error


def test_a_constant_prediction_scores_0_and_a_constant_loss_is_left_out():
    values, members, losses = additive()
    constant = losses.copy()
    constant[:, 0] = 1.0
    found = linear_datamodeling_score(values, members, constant)
    assert np.isnan(found.columns[0])
    assert found.score == pytest.approx(1.0)
    assert linear_datamodeling_score(np.zeros_like(values), members, losses).score == 0.0


def test_unknown_values_are_left_out_of_the_sums():
    values, members, losses = additive()
    unknown = values.copy()
    unknown[:3] = np.nan
    zero = np.where(np.isnan(unknown), 0.0, unknown)
    assert (
        linear_datamodeling_score(unknown, members, losses).score
        == linear_datamodeling_score(zero, members, losses).score
        < 1.0
    )


def test_a_difference_is_paired():
    values, members, losses = additive(noise=6.0, subsets=200)
    near = values + 0.05 * RNG(5).normal(size=values.shape)
    best = linear_datamodeling_score(values, members, losses)
    found = linear_datamodeling_score(near, members, losses)
    difference, error = best.less(found)
    assert difference == best.score - found.score
    assert error < 0.2 * best.standard_error


def test_ceilings_are_what_the_true_values_score():
    # Expected losses predict measured ones at the ceiling: within 0.03 on 400 subsets of an additive game.
    values, members, expected = additive(subsets=400, tests=8)
    rng, noise = RNG(6), 2.5
    first, second = (expected + noise * rng.normal(size=expected.shape) for _ in range(2))
    reached = linear_datamodeling_score(values, members, (first + second) / 2.0).score
    halves = ceiling_of_halves(first, second)
    assert halves.score == pytest.approx(reached, abs=0.03)
    assert halves.halves < halves.score
    once = linear_datamodeling_score(values, members, first).score
    replicates = 1.0 + noise * rng.normal(size=(200, 8))
    assert ceiling_of_replicates(first, replicates).score == pytest.approx(once, abs=0.03)


def test_noise_alone_has_a_ceiling_of_0():
    rng = RNG(7)
    found = ceiling_of_halves(rng.normal(size=(4, 500)), rng.normal(size=(4, 500)))
    assert 0.0 <= found.score < 0.4
    loud = ceiling_of_replicates(rng.normal(size=(200, 5)), 3.0 * rng.normal(size=(50, 5)))
    assert loud.score == 0.0


def test_shapes_that_do_not_fit_are_refused():
    values, members, losses = additive()
    with pytest.raises(ValueError, match="do not fit"):
        linear_datamodeling_score(values[:-1], members, losses)
    with pytest.raises(ValueError, match="must both be"):
        rank_agreement(values, values[:-1])
    assert np.isnan(rank_agreement(values[:2], values[:2]).score)
