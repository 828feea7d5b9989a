"""95 % intervals cover the true value in 95 % of campaigns: 400 campaigns of a game whose values are known.

Coverage is held between the 0.05 % and 99.95 % binomial quantiles, a false-alarm rate of 0.1 % a check; seeds are
fixed. Pairs of one campaign share retrains, so each pair is a check of its own.
"""

from dataclasses import replace

import numpy as np
import pytest
from estimator_material import Game, aggregator_of, design_of, random_game
from oracles import enumeration
from scipy import stats

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.designs.uniform import Uniform
from estimators.retrains import EndRows, Retrains

CAMPAIGNS, DRAWS = 400, 300
LEAST, MOST = stats.binom.ppf([0.0005, 0.9995], CAMPAIGNS, 0.95)


def covered(result, truth):
    half_width = stats.t.ppf(0.975, result.degrees_of_freedom) * result.standard_errors
    return np.abs(result.values - truth) <= half_width


def depends_on_seed(game, noise, rng):
    """The game as stored: one noise for each subset, however often it is drawn; and four replicates of D."""
    if not noise:
        return game, game.ends
    losses, own = (each + noise * rng.normal(size=each.shape) for each in (game.losses, game.own))
    full, full_train = (each[-1] + noise * rng.normal(size=(4, each.shape[1])) for each in (game.losses, game.own))
    full[0], full_train[0] = losses[-1], own[-1]
    ends = EndRows(full, losses[0], deterministic=False, full_train=full_train, empty_train=own[0])
    return replace(game, losses=losses, own=own), ends


def assert_covers(counts):
    assert counts.min() >= LEAST
    assert counts.max() <= MOST


def draw(name, n, seed):
    return Uniform(n=n, size=6, seed=seed) if name == "uniform" else design_of(name, n, seed)


@pytest.mark.parametrize(
    ("value", "name", "oracle"),
    [
        ("downsampling", "uniform", lambda losses, n: enumeration.downsampling_by_subsets(losses, n, 6)),
        ("banzhaf_sample_reuse", "bernoulli", enumeration.banzhaf_by_subsets),
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


SIZES = (2, 5, 8)


def own_losses_left_out(own, sizes):
    return np.mean([enumeration.mean_own_losses(own, 10, size=size)[1] for size in sizes], axis=0)


def own_losses_gained(own, size):
    kept, left = enumeration.mean_own_losses(own, 10, size=size)
    return left - kept


OWN_LOSSES = [
    (
        "memorization",
        "uniform",
        {"size": 6},
        lambda own: own_losses_gained(own, 6),
    ),
    ("held_out_loss", "uniform", {"size": 6}, lambda own: own_losses_left_out(own, [6])),
    ("data_oob", "uniform", {"size": 6}, lambda own: -own_losses_left_out(own, [6])),
    ("c_score", "stratified", {"size": SIZES}, lambda own: -own_losses_left_out(own, SIZES)),
    (
        "generative_downsampling",
        "kfold",
        {"folds": 5},
        lambda own: own_losses_gained(own, 8),
    ),
]


@pytest.mark.parametrize("noise", [0.0, 0.2], ids=["deterministic", "depends_on_seed"])
@pytest.mark.parametrize(("value", "name", "said", "known"), OWN_LOSSES, ids=[each[0] for each in OWN_LOSSES])
def test_intervals_of_values_of_own_losses_cover(value, name, said, known, noise):
    game, rng, draws = random_game(10, 1, seed=22), np.random.default_rng(6), 75 if name == "kfold" else 300
    truth, counts = known(game.own), np.zeros(10)
    for seed in range(CAMPAIGNS):
        design = make_design(name, n=10, seed=seed, **said)
        trained, ends = depends_on_seed(game, noise, rng)
        rows = replace(trained.retrains(design.draws(0, draws)), units=design.units(0, draws))
        counts += covered(aggregate(aggregator_of(value, design, ends), [rows]), truth)
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
