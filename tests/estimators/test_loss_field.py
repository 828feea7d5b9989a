"""Losses drawn for subsets that were not trained, given those that were."""

import numpy as np
import pytest
from estimator_material import random_game

from estimators.designs import make_design
from estimators.retrains import EndRows
from estimators.surrogates.loss_field import fitted_field

N = 9


def drawn(field, planned, seed=0):
    """Losses at the likeliest setting."""
    return next(iter(field.draws(planned, [field.scales.best()], seed)))


def game_and_field(rows=60, n_test=5):
    game, design = random_game(N, n_test, seed=71), make_design("bernoulli", n=N, seed=1)
    known = game.retrains(design.draws(0, rows))
    return game, known, fitted_field(known.members, known.losses, game.ends)


def test_trained_subsets_keep_their_losses_and_equal_subsets_have_one():
    _, known, field = game_and_field()
    planned = np.concatenate([known.members[::-1], make_design("bernoulli", n=N, seed=2).draws(0, 50)])
    planned = np.concatenate([planned, planned[:70]])
    losses = drawn(field, planned)
    np.testing.assert_allclose(losses[: len(known.members)], known.losses[::-1], rtol=1e-9)
    np.testing.assert_array_equal(losses[-70:], losses[:70])


def test_a_draw_depends_on_the_generator_alone():
    _, _, field = game_and_field()
    planned = make_design("bernoulli", n=N, seed=2).draws(0, 40)
    first, again, other = (drawn(field, planned, seed) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert (first != other).any()


def test_draws_are_as_far_from_the_truth_as_they_are_from_each_other():
    # Where the process fits, truth and draws are alike: their squared gaps to the mean of draws have the ratio 1;
    # 150 unseen subsets by 5 tests that share the fit: within a factor of 2
    game, _, field = game_and_field()
    unseen = make_design("bernoulli", n=N, seed=5).draws(0, 150)
    draws = np.stack([drawn(field, unseen, seed) for seed in range(30)])
    gaps = game.retrains(unseen).losses - draws.mean(axis=0)
    ratio = np.mean(gaps**2) / np.mean(draws.var(axis=0, ddof=1))
    assert 0.5 < ratio < 2.0


def test_losses_that_vary_more_on_small_subsets_are_drawn_so():
    n, rng = 20, np.random.default_rng(6)
    members = make_design("uniform", n=n, seed=1, size=tuple(range(2, 19))).draws(0, 200)
    scale = 8.0 / members.sum(axis=1)
    losses = scale[:, None] * rng.normal(size=(200, 6))
    ends = EndRows(full=np.zeros((1, 6)), empty=np.zeros(6), deterministic=True)
    planned = make_design("uniform", n=n, seed=2, size=(3, 16)).draws(0, 300)
    found = drawn(fitted_field(members, losses, ends), planned)
    small = planned.sum(axis=1) == 3
    # true ratio of standard deviations: 16 / 3
    assert found[small].std() / found[~small].std() == pytest.approx(16 / 3, rel=0.4)


def test_losses_that_never_varied_are_drawn_so():
    members = make_design("bernoulli", n=N, seed=1).draws(0, 32)
    ends = EndRows(full=np.ones((1, 2)), empty=np.ones(2), deterministic=True)
    found = drawn(fitted_field(members, np.ones((32, 2)), ends), members[:5])
    np.testing.assert_array_equal(found, np.ones((5, 2)))


def test_scales_are_told_by_a_bounded_number_of_rows_however_long_the_pilot():
    members = make_design("bernoulli", n=30, seed=1).draws(0, 2000)
    losses = members[:, :3] + 0.1 * np.random.default_rng(1).normal(size=(2000, 3))
    ends = EndRows(full=np.ones((1, 3)), empty=np.zeros(3), deterministic=True)
    field = fitted_field(members, losses, ends)
    assert len(field.fitted) <= 256
    assert len(field.known) <= 512 + 2
