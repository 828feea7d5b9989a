"""95 % intervals cover the true value in 95 % of campaigns: 400 campaigns of a game whose values are known.

Coverage is held between the 0.05 % and 99.95 % binomial quantiles, a false-alarm rate of 0.1 % a check; seeds are
fixed. Pairs of one campaign share retrains, so each pair is a check of its own.
"""

import numpy as np
import pytest
from estimator_material import Game, aggregator_of, design_of, random_game
from oracles import enumeration
from scipy import stats

from estimators.aggregators.blocks import aggregate
from estimators.designs.uniform import Uniform
from estimators.retrains import EndRows, Retrains

CAMPAIGNS, DRAWS = 400, 300
LEAST, MOST = stats.binom.ppf([0.0005, 0.9995], CAMPAIGNS, 0.95)


def covered(result, truth):
    half_width = stats.t.ppf(0.975, result.degrees_of_freedom) * result.standard_errors
    return np.abs(result.values - truth) <= half_width


def assert_covers(counts):
    assert counts.min() >= LEAST
    assert counts.max() <= MOST


def draw(name, n, seed):
    return Uniform(n=n, size=6, seed=seed) if name == "uniform" else design_of(name, n, seed)


@pytest.mark.parametrize(
    ("value", "name", "oracle"),
    [
        ("downsampling", "uniform", lambda losses, n: enumeration.downsampling_by_subsets(losses, n, 6)),
        ("banzhaf", "bernoulli", enumeration.banzhaf_by_subsets),
    ],
)
def test_intervals_of_sampled_values_cover(value, name, oracle):
    game = random_game(10, 2, seed=21)
    truth = oracle(game.losses, 10)
    pairs, means, bias = np.zeros((10, 2)), np.zeros(10), []
    for seed in range(CAMPAIGNS):
        design = draw(name, 10, seed)
        result = aggregate(aggregator_of(value, design, game.ends), [game.retrains(design.draws(0, DRAWS))])
        pairs += covered(result, truth)
        means += covered(result.mean, truth.mean(axis=1))
        bias.append((result.values - truth) / result.standard_errors)
    assert_covers(pairs)
    assert_covers(means)
    # studentised errors have mean 0: |mean| below 4.5 / sqrt(400), 7e-6 each
    assert np.abs(np.mean(bias, axis=0)).max() < 4.5 / np.sqrt(CAMPAIGNS)


@pytest.mark.parametrize("value", ["memorization", "held_out_loss"])
def test_intervals_of_values_of_own_losses_cover(value):
    game = random_game(10, 1, seed=22)
    kept, left = enumeration.mean_own_losses(game.own, 10, size=6)
    truth = left if value == "held_out_loss" else left - kept
    counts = np.zeros(10)
    for seed in range(CAMPAIGNS):
        design = draw("uniform", 10, seed)
        rows = game.retrains(design.draws(0, DRAWS))
        counts += covered(aggregate(aggregator_of(value, design, game.ends), [rows]), truth)
    assert_covers(counts)


@pytest.mark.parametrize(
    ("value", "name", "oracle"),
    [
        ("leave_one_out", "leave_one_out", enumeration.leave_one_out_by_definition),
        ("shapley", "exhaustive", enumeration.shapley_by_subsets),
        ("banzhaf", "exhaustive", enumeration.banzhaf_by_subsets),
    ],
)
def test_intervals_of_listed_designs_cover_what_a_learner_that_depends_on_its_seed_means(value, name, oracle):
    game, design, rng = random_game(6, 2, seed=23), design_of(name, 6), np.random.default_rng(5)
    truth, members = oracle(game.losses, 6), design.draws(0, design.draw_count)
    counts = np.zeros((6, 2))
    for _ in range(CAMPAIGNS):
        noisy = Game(6, game.losses + 0.1 * rng.normal(size=game.losses.shape), game.own)
        replicates = game.losses[-1] + 0.1 * rng.normal(size=(4, 2))
        if name == "exhaustive":
            replicates[0] = noisy.losses[-1]  # D is a row of the design and the first of its replicates
        ends = EndRows(full=replicates, empty=game.losses[0], deterministic=False)
        rows = noisy.retrains(members)
        counts += covered(aggregate(aggregator_of(value, design, ends), [Retrains(rows.members, rows.losses)]), truth)
    assert_covers(counts)
