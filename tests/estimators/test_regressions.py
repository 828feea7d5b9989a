"""AME and datamodels against enumeration and closed forms; their LASSO against scikit-learn's."""

import numpy as np
import pytest
from estimator_material import Game, aggregator_of, random_game
from oracles import enumeration
from sklearn.linear_model import Lasso

from estimators.aggregators.blocks import aggregate
from estimators.aggregators.protocol import TwoPass
from estimators.designs import make_design
from estimators.errors import EstimatorError
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.lasso import FoldSums, cross_fitted

N, GRID = 10, (0.2, 0.4, 0.6, 0.8)


def ame_by_definition(losses, n):
    def weight(size):
        return np.mean([t**size * (1 - t) ** (n - 1 - size) for t in GRID])

    return enumeration._semivalue(losses, n, weight)


def design_for(value, seed, n=N):
    if value == "ame":
        return make_design("bernoulli", n=n, seed=seed, probability=GRID)
    return make_design("uniform", n=n, seed=seed, size=6)


def known(value, game):
    if value == "ame":
        return ame_by_definition(game.losses, game.n)
    return (game.n - 1) / game.n * enumeration.downsampling_by_subsets(game.losses, game.n, 6)


def drawn(game, design, count):
    rows = game.retrains(design.draws(0, count))
    return Retrains(rows.members, rows.losses, rows.train_losses, np.arange(count), design.units(0, count))


def test_an_additive_game_is_found_exactly_by_both():
    effects = np.random.default_rng(6).normal(size=N)
    members = (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(float)
    game = Game(N, 3.0 - members @ effects[:, None], np.zeros((2**N, N)))
    for value in ("ame", "datamodel"):
        design = design_for(value, 3)
        result = aggregate(aggregator_of(value, design, game.ends), [game.retrains(design.draws(0, 2000))])
        truth = effects if value == "ame" else effects - effects.mean()
        # what the shrinkage leaves over is corrected, so errors are small; they are held by the result's own
        assert (np.abs(result.values[:, 0] - truth) <= 5 * result.standard_errors[:, 0] + 1e-12).all()
        assert result.standard_errors.max() < 0.02 * np.ptp(effects)


def test_the_quadratic_game_has_the_closed_form_of_its_mean_probability():
    rng = np.random.default_rng(7)
    c, q = rng.normal(size=N), np.triu(rng.normal(size=(N, N)), 1)
    q = q + q.T
    members = (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(float)
    v = members @ c + 0.5 * np.einsum("ki,ij,kj->k", members, q, members)
    game = Game(N, -v[:, None], np.zeros((2**N, N)))
    np.testing.assert_allclose(ame_by_definition(game.losses, N)[:, 0], c + np.mean(GRID) * q.sum(axis=1), atol=1e-12)
    design = design_for("ame", 8)
    result = aggregate(aggregator_of("ame", design, game.ends), [game.retrains(design.draws(0, 4000))])
    errors = (result.values[:, 0] - c - np.mean(GRID) * q.sum(axis=1)) / result.standard_errors[:, 0]
    assert np.abs(errors).max() < 4.5


def test_where_few_of_many_instances_matter_it_needs_fewer_rows_than_a_difference_of_means():
    n, rng = 200, np.random.default_rng(9)
    design = make_design("bernoulli", n=n, seed=4)
    members = design.draws(0, 400)
    effects = np.zeros(n)
    effects[:5] = 3.0
    losses = -(members @ effects)[:, None] + 0.3 * rng.normal(size=(400, 1))
    ends = EndRows(full=np.array([[-15.0]]), empty=np.zeros(1), deterministic=False)
    rows = Retrains(members, losses)
    sparse = aggregate(aggregator_of("datamodel", design, ends), [rows])
    plain = aggregate(aggregator_of("banzhaf", design, ends), [rows])
    assert np.abs((sparse.values[:, 0] - effects) / sparse.standard_errors[:, 0]).max() < 5.0
    assert np.median(sparse.standard_errors) < 0.25 * np.sqrt(4 * losses.var() / 400)
    assert np.abs(sparse.values - effects[:, None]).mean() <= 1.05 * np.abs(plain.values - effects[:, None]).mean()


def test_the_lasso_is_scikit_learns_at_the_penalty_chosen():
    rng = np.random.default_rng(11)
    X = (rng.random((240, 30)) < 0.5).astype(float) - 0.5
    V = X[:, :3] @ rng.normal(size=(3, 2)) + 0.5 * rng.normal(size=(240, 2))
    folds = np.arange(240) % 4

    def of(fold, a, b):
        return a[folds == fold].T @ b[folds == fold]

    ones = np.ones((240, 1))
    sums = FoldSums(
        counts=np.bincount(folds).astype(float),
        x=np.stack([of(f, X, ones)[:, 0] for f in range(4)]),
        v=np.stack([of(f, V, ones)[:, 0] for f in range(4)]),
        vv=np.stack([(V[folds == f] ** 2).sum(axis=0) for f in range(4)]),
        xx=np.stack([of(f, X, X) for f in range(4)]),
        xv=np.stack([of(f, X, V) for f in range(4)]),
    )
    fit = cross_fitted(sums)
    assert (fit.penalties > 0).all()
    for fold in range(4):
        for column in range(2):
            model = Lasso(alpha=fit.penalties[column], tol=1e-10, max_iter=100_000)
            model.fit(X[folds != fold], V[folds != fold, column])
            np.testing.assert_allclose(fit.beta[fold][:, column], model.coef_, atol=2e-3)
            np.testing.assert_allclose(fit.intercept[fold][column], model.intercept_, atol=2e-3)


def test_rows_that_cannot_be_gone_through_twice_are_refused():
    game, design = random_game(N, 1, seed=44), design_for("ame", 0)
    aggregator = aggregator_of("ame", design, game.ends)
    assert isinstance(aggregator, TwoPass)
    with pytest.raises(TypeError, match="twice"):
        aggregate(aggregator, iter([game.retrains(design.draws(0, 50))]))


def test_a_state_that_would_not_fit_is_refused_with_what_to_ask_instead():
    design = make_design("uniform", n=30_000, seed=0, size=100)
    ends = EndRows(full=np.zeros((1, 10)), empty=np.zeros(10), deterministic=True)
    with pytest.raises(EstimatorError, match="GiB: ask for banzhaf or downsampling"):
        aggregator_of("datamodel", design, ends).empty()


def test_designs_whose_sizes_do_not_reach_the_mixture_are_refused_by_name():
    assert "design bernoulli with probability [0.2, 0.4, 0.6, 0.8]" in value_method("ame").accepts(
        make_design("uniform", n=50, seed=0, size=25)
    )
    assert value_method("ame").accepts(make_design("bernoulli", n=50, seed=0, probability=GRID), 500) == ""
    assert "design uniform or bernoulli" in value_method("datamodel").accepts(make_design("permutation", n=20, seed=0))
