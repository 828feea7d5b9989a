"""Memorization by folds against plain loops, the mean of a Gaussian, and its own error over repeats."""

from dataclasses import replace

import numpy as np
import pytest
from estimator_material import aggregator_of, random_game

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.errors import WrongDesign
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains

N, FOLDS = 10, 5


def design_of(seed):
    return make_design("kfold", n=N, seed=seed, folds=FOLDS)


def drawn(game, design, start, stop):
    return replace(game.retrains(design.draws(start, stop)), units=design.units(start, stop))


def test_it_is_the_mean_over_repeats_of_out_less_in():
    game, design = random_game(N, 1, seed=71), design_of(3)
    rows = game.retrains(design.draws(0, 4 * FOLDS))
    result = aggregate(aggregator_of("generative_downsampling", design, game.ends), [rows])
    for i in range(N):
        scores = []
        for repeat in range(4):
            part = slice(repeat * FOLDS, (repeat + 1) * FOLDS)
            members, own = rows.members[part, i], rows.train_losses[part, i]
            scores.append(own[~members].mean() - own[members].mean())
        assert result.values[i] == pytest.approx(np.mean(scores), abs=1e-12)
        assert result.standard_errors[i] == pytest.approx(np.std(scores, ddof=1) / 2.0, abs=1e-12)


def test_the_mean_of_a_gaussian_has_its_closed_form():
    # L(z) = (z - mean of the members)^2 / 2: leaving a fold out moves the mean by a known amount
    x, design = np.random.default_rng(5).normal(size=N), design_of(1)
    members = design.draws(0, 6 * FOLDS)
    means = (members @ x) / members.sum(axis=1)
    own = 0.5 * (x[None, :] - means[:, None]) ** 2
    ends = EndRows(full=np.zeros((1, 1)), empty=np.zeros(1), deterministic=True)
    rows = Retrains(members, np.zeros((len(members), 1)), own)
    result = aggregate(aggregator_of("generative_downsampling", design, ends), [rows])
    out = np.array([own[~members[:, i], i].mean() for i in range(N)])
    inside = np.array([own[members[:, i], i].mean() for i in range(N)])
    np.testing.assert_allclose(result.values, out - inside, atol=1e-12)


def test_rows_of_another_kind_are_refused_by_name():
    assert "run design kfold" in value_method("generative_downsampling").accepts(make_design("uniform", n=N, seed=0))
    game, design = random_game(N, 1, seed=73), design_of(0)
    aggregator = aggregator_of("generative_downsampling", design, game.ends)
    assert np.isnan(aggregate(aggregator, [game.retrains(design.draws(0, FOLDS - 1))]).values).all()
    with pytest.raises(WrongDesign, match="left out once"):
        aggregate(aggregator, [game.retrains(np.ones((FOLDS, N), dtype=bool))])
