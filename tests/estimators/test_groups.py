"""Influence of groups against definitions, enumeration, ridge's closed form, and their own errors."""

from itertools import combinations

import numpy as np
import pytest
from estimator_material import random_game
from oracles.enumeration import number_of
from scipy import stats

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.designs.leave_m_out import LeaveGroupsOut
from estimators.errors import WrongDesign
from estimators.groups.expected import ExpectedGroupInfluence
from estimators.groups.left_out import LeftOutGroups
from estimators.retrains import EndRows, Retrains

N, CODES, NAMES = 9, np.array([0, 1, 2, 0, 1, 2, 2, 0, 3]), ("a", "b", "c", "d")


def expected(game, design):
    return ExpectedGroupInfluence("loss", design, game.ends, CODES, NAMES)


def known(losses, m):
    """Mean loss over subsets of size m that hold none of a group, less that over those that hold all of it."""
    values = []
    for g in range(4):
        inside, outside, group = [], [], set(np.flatnonzero(g == CODES).tolist())
        for members in combinations(range(N), m):
            if group <= set(members):
                inside.append(losses[number_of(members)])
            elif not group & set(members):
                outside.append(losses[number_of(members)])
        values.append(np.mean(outside, axis=0) - np.mean(inside, axis=0))
    return np.array(values)


def test_all_subsets_of_a_size_give_the_definition():
    game, design = random_game(N, 2, seed=61), make_design("uniform", n=N, seed=0, size=5)
    members = np.array([[i in chosen for i in range(N)] for chosen in combinations(range(N), 5)])
    result = aggregate(expected(game, design), [game.retrains(np.repeat(members, 2, axis=0))])
    np.testing.assert_allclose(result.values[:, :-1], known(game.losses, 5), atol=1e-12)
    np.testing.assert_allclose(result.values[:, -1], known(game.losses, 5).mean(axis=1), atol=1e-12)
    assert result.sizes.tolist() == [3, 2, 3, 1]


def test_intervals_cover():
    # 400 campaigns, per group and test between the 0.05 % and 99.95 % binomial quantiles
    game, counts = random_game(N, 1, seed=62), np.zeros((4, 2))
    truth = known(game.losses, 5)
    truth = np.concatenate([truth, truth.mean(axis=1, keepdims=True)], axis=1)
    for seed in range(400):
        design = make_design("uniform", n=N, seed=seed, size=5)
        result = aggregate(expected(game, design), [game.retrains(design.draws(0, 400))])
        half = stats.t.ppf(0.975, result.degrees_of_freedom) * result.standard_errors
        counts += np.abs(result.values - truth) <= half
    least, most = stats.binom.ppf([0.0005, 0.9995], 400, 0.95)
    assert counts.min() >= least
    assert counts.max() <= most


def test_a_group_seldom_whole_is_unknown_and_says_which_design_to_run():
    game, design = random_game(N, 1, seed=63), make_design("uniform", n=N, seed=0, size=5)
    result = aggregate(expected(game, design), [game.retrains(design.draws(0, 12))])
    assert np.isnan(result.values).any()
    assert np.isinf(result.standard_errors[np.isnan(result.values)]).all()
    assert "leave_m_out" in result.notes[0]
    assert not result.certain()[np.isnan(result.values[:, -1])].any()


def test_designs_without_independent_subsets_are_refused_by_name():
    game = random_game(N, 1, seed=64)
    for name in ("paired", "permutation", "leave_one_out"):
        assert "leave_m_out" in expected(game, make_design(name, n=N, seed=0)).objection()
    assert not expected(game, make_design("bernoulli", n=N, seed=0)).objection()


def left_out(ends):
    return LeftOutGroups("loss", LeaveGroupsOut(groups=CODES, column="source", names=NAMES), ends)


def test_leaving_each_group_out_of_ridge_is_the_closed_form():
    rng = np.random.default_rng(65)
    X, y, x, t = rng.normal(size=(N, 3)), rng.normal(size=N), rng.normal(size=(4, 3)), rng.normal(size=4)
    A = np.linalg.inv(X.T @ X + 0.7 * np.eye(3))

    def losses(rows):
        b = np.linalg.solve(X[rows].T @ X[rows] + 0.7 * np.eye(3), X[rows].T @ y[rows])
        return (t - x @ b) ** 2

    design = LeaveGroupsOut(groups=CODES, column="source", names=NAMES)
    members = design.draws(0, 4)
    full = losses(np.ones(N, dtype=bool))
    ends = EndRows(full=full[None], empty=t**2, deterministic=True)
    result = aggregate(left_out(ends), [Retrains(members, np.array([losses(row) for row in members]))])
    b, e = A @ X.T @ y, y - X @ A @ X.T @ y
    for g in range(4):
        U = g == CODES
        H = X[U] @ A @ X[U].T
        moved = b - A @ X[U].T @ np.linalg.solve(np.eye(int(U.sum())) - H, e[U])
        np.testing.assert_allclose(result.values[g, :-1], (t - x @ moved) ** 2 - full, atol=1e-12)
    assert (result.standard_errors == 0).all()


def test_errors_of_a_learner_that_depends_on_its_seed_cover():
    rng, counts = np.random.default_rng(66), np.zeros((4, 2))
    design, truth = LeaveGroupsOut(groups=CODES, column="source", names=NAMES), np.array([0.5, 0.1, 0.0, -0.2])
    for _ in range(400):
        full = 1.0 + 0.3 * rng.normal(size=(5, 1))
        ends = EndRows(full=full, empty=np.ones(1), deterministic=False)
        rows = Retrains(design.draws(0, 4), 1.0 + truth[:, None] + 0.3 * rng.normal(size=(4, 1)))
        result = aggregate(left_out(ends), [rows])
        half = stats.t.ppf(0.975, result.degrees_of_freedom) * result.standard_errors
        counts += np.abs(result.values - truth[:, None]) <= half
    least, most = stats.binom.ppf([0.0005, 0.9995], 400, 0.95)
    assert counts.min() >= least
    assert counts.max() <= most


def test_a_row_that_lacks_something_else_is_refused():
    ends = EndRows(full=np.ones((1, 1)), empty=np.ones(1), deterministic=True)
    members = np.ones((1, N), dtype=bool)
    members[0, 0] = False
    with pytest.raises(WrongDesign, match="exactly one group"):
        aggregate(left_out(ends), [Retrains(members, np.ones((1, 1)))])
