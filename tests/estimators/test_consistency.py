"""C-score and Data-OOB against their definitions, games of the size alone, and their own errors."""

import numpy as np
import pytest
from estimator_material import Game, aggregator_of, random_game
from oracles import enumeration

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.errors import MissingRows
from estimators.registry import value_method
from estimators.retrains import Retrains

N, SIZES = 10, (2, 5, 8)


def stratified(seed):
    return make_design("stratified", n=N, seed=seed, size=SIZES)


def known(own):
    """Minus the mean own loss without the instance, at each size, then over sizes; and by size [sizes, n]."""
    profile = np.array([-enumeration.mean_own_losses(own, N, size=size)[1] for size in SIZES])
    return profile.mean(axis=0), profile


def test_every_subset_once_gives_the_c_score_itself():
    game = random_game(N, 1, seed=31)
    sizes = np.array([k.bit_count() for k in range(2**N)])
    members = (np.flatnonzero(np.isin(sizes, SIZES))[:, None] >> np.arange(N) & 1).astype(bool)
    result = aggregate(aggregator_of("c_score", stratified(0), game.ends), [game.retrains(members)])
    np.testing.assert_allclose(result.values, known(game.own)[0], atol=1e-12)


def test_sizes_count_equally_however_often_each_was_drawn():
    game = random_game(N, 1, seed=32)
    rows = game.retrains(stratified(1).draws(0, 900))
    sizes = rows.members.sum(axis=1)
    twice = [rows, rows.rows(sizes == 5), rows.rows(sizes == 5)]
    once, thrice = (aggregate(aggregator_of("c_score", stratified(1), game.ends), parts) for parts in ([rows], twice))
    np.testing.assert_allclose(thrice.values, once.values, atol=1e-12)


def test_a_game_of_the_size_alone_gives_the_mean_over_sizes_without_error():
    of_size = np.array([float(k.bit_count()) for k in range(2**N)])
    game = Game(N, of_size[:, None], np.repeat(of_size[:, None], N, axis=1))
    result = aggregate(aggregator_of("c_score", stratified(2), game.ends), [game.retrains(stratified(2).draws(0, 300))])
    np.testing.assert_allclose(result.values, -np.mean(SIZES), atol=1e-12)


def test_a_size_without_a_row_that_leaves_an_instance_out_makes_it_unknown():
    game = random_game(N, 1, seed=34)
    members = np.ones((4, N), dtype=bool)
    members[0, 1:9] = members[1, 2:] = members[2, 3] = members[3, 4] = False
    result = aggregate(aggregator_of("c_score", stratified(0), game.ends), [game.retrains(members)])
    assert np.isnan(result.values).any()
    assert np.isinf(result.standard_errors[np.isnan(result.values)]).all()
    assert any("out of no subset" in note for note in result.notes)


def test_without_losses_on_the_training_instances_it_says_what_to_keep():
    game = random_game(N, 1, seed=35)
    rows = game.retrains(stratified(0).draws(0, 30))
    for value in ("c_score", "data_oob"):
        with pytest.raises(MissingRows, match="train_losses: true"):
            aggregate(aggregator_of(value, stratified(0), game.ends), [Retrains(rows.members, rows.losses)])


def test_designs_of_many_sizes_are_refused_with_the_one_to_run():
    many = make_design("bernoulli", n=200, seed=0, probability=0.5)
    assert "design stratified" in value_method("c_score").accepts(many)
    walk = make_design("permutation", n=20, seed=0)
    assert "uniform with fraction 0.632" in value_method("data_oob").accepts(walk)
