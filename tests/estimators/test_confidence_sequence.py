"""Confidence sequences hold under repeated looks, where ordinary intervals do not."""

import numpy as np
import pytest
from estimator_material import random_game
from scipy import stats

from estimators.aggregators.blocks import blocks_of_rows
from estimators.confidence import half_widths
from estimators.confidence_sequence import anytime_half_widths, anytime_p_values, certain_top, undecided_signs
from estimators.designs import make_design
from estimators.registry import value_method

LOOKS = np.arange(32, 4097, 32)


def test_of_two_thousand_sequences_of_looks_at_most_five_per_cent_miss_at_any_look():
    # Skewed data (exponential). Ever missing: at most 5 % by the sequence, up to the 99.99 % binomial quantile; an
    # ordinary interval at each look misses far more, so the test can tell the two apart.
    rng = np.random.default_rng(7)
    x = rng.exponential(size=(2000, LOOKS[-1]))
    sums, squares = np.cumsum(x, axis=1)[:, LOOKS - 1], np.cumsum(x * x, axis=1)[:, LOOKS - 1]
    means = sums / LOOKS
    errors = np.sqrt((squares - sums * means) / (LOOKS - 1) / LOOKS)
    missed = np.zeros(2000, dtype=bool)
    looked_through = np.zeros(2000, dtype=bool)
    for place, units in enumerate(LOOKS):
        widths = anytime_half_widths(errors[:, place], np.array(units - 1.0), units=int(units), best_at=1000)
        missed |= np.abs(means[:, place] - 1.0) > widths
        looked_through |= np.abs(means[:, place] - 1.0) > half_widths(errors[:, place], np.array(units - 1.0))
    assert missed.sum() <= stats.binom.ppf(0.9999, 2000, 0.05)
    assert looked_through.mean() > 0.2


def test_a_value_is_never_called_non_zero_by_looking_often_enough():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(2000, 2048))
    called = np.zeros(2000, dtype=bool)
    for units in range(32, 2049, 32):
        part = x[:, :units]
        errors = part.std(axis=1, ddof=1) / np.sqrt(units)
        p = anytime_p_values(part.mean(axis=1), errors, np.array(units - 1.0), units=units, best_at=1000)
        called |= p <= 0.05
    assert called.sum() <= stats.binom.ppf(0.9999, 2000, 0.05)


def test_the_sequence_holds_for_banzhaf_values_of_a_game_at_all_looks():
    # 150 campaigns, 6 values each, 8 looks; ever missing at most 5 % up to the 99.99 % quantile of 150 sets of 6.
    game = random_game(6, 1, seed=3)
    members = (np.arange(64)[:, None] >> np.arange(6) & 1).astype(bool)
    losses = game.losses[:, 0]
    truth = np.array([losses[~members[:, i]].mean() - losses[members[:, i]].mean() for i in range(6)])
    missed = 0
    for seed in range(150):
        design = make_design("bernoulli", n=6, seed=seed)
        aggregator = value_method("banzhaf").make(loss="l", ends=game.ends, design=design)
        state, ever = aggregator.empty(), np.zeros(6, dtype=bool)
        for block in blocks_of_rows([game.retrains(design.draws(0, 1024))], rows=128):
            state = aggregator.update(state, block)
            found = aggregator.finish(state)
            count = found.retrains
            widths = anytime_half_widths(
                found.standard_errors[:, 0], found.degrees_of_freedom[:, 0], units=count, best_at=512
            )
            ever |= np.abs(found.values[:, 0] - truth) > widths
        missed += int(ever.sum())
    assert missed <= stats.binom.ppf(0.9999, 900, 0.05)


@pytest.mark.parametrize("degrees", [4.0, 30.0, np.inf])
def test_p_values_and_widths_agree(degrees):
    errors, df = np.array([1.3]), np.array([degrees])
    width = anytime_half_widths(errors, df, units=200, best_at=500)
    assert anytime_p_values(width, errors, df, units=200, best_at=500)[0] == pytest.approx(0.05, rel=1e-6)


def test_the_sequence_is_wider_than_one_look_and_narrowest_near_where_it_is_told_to_be():
    def factor(units, best_at):
        return anytime_half_widths(np.ones(1), np.array([np.inf]), units=units, best_at=best_at)[0]

    assert 2.5 < factor(1000, 1000) < 3.3
    assert factor(1000, 1000) < min(factor(1000, 50), factor(1000, 20_000))


def test_signs_and_places_are_decided_where_errors_are_small_and_open_where_they_are_not():
    values = np.array([5.0, 4.0, 3.0, -1.0, 0.01])
    known = {"units": 400, "best_at": 400}
    small, large, df = np.full(5, 0.05), np.full(5, 2.0), np.full(5, 399.0)
    assert undecided_signs(values, small, df, **known) == pytest.approx(0.2)
    assert undecided_signs(values, large, df, **known) > 0.5
    np.testing.assert_array_equal(certain_top(values, small, df, top=2, **known), [True, True, False, False, False])
    assert not certain_top(values, large, df, top=2, **known).any()
    unknown = certain_top(
        np.array([5.0, 4.0, np.nan]), np.array([0.01, 0.01, np.inf]), np.full(3, 99.0), top=2, **known
    )
    np.testing.assert_array_equal(unknown, [True, False, False])
