"""Ridge regressions solved together: leave-few-out in closed form, normal equations by one product."""

import dataclasses

import numpy as np
import pytest
from learner_data import assert_row_of, regression_data, subsets

from workers.learner_specs import RidgeSpec
from workers.learners.ridge import ridge_learner


def left_out(n, count, *, seed=0, rows=12):
    """Subsets that lack `count` instances each."""
    random = np.random.default_rng(seed)
    members = np.ones((rows, n), dtype=bool)
    for row in members:
        row[random.choice(n, count, replace=False)] = False
    return members


def refitted(data, members, *, alpha, intercept):
    """Coefficients and intercepts by QR of the augmented data, in float64: no normal equations."""
    found = []
    for row in members:
        X, y = data.train_features[row].astype(float), data.train_labels[row]
        w = np.ones(len(y)) if data.weights is None else data.weights[row]
        centre, mean = (w @ X / w.sum(), w @ y / w.sum()) if intercept else (np.zeros(X.shape[1]), 0.0)
        root = np.sqrt(w)[:, None]
        design = np.vstack([(X - centre) * root, np.sqrt(alpha) * np.eye(X.shape[1])])
        target = np.append((y - mean) * root[:, 0], np.zeros(X.shape[1]))
        b = np.linalg.lstsq(design, target, rcond=None)[0]
        found.append(np.append(b, mean - centre @ b))
    return np.array(found)


def solutions(learner, members):
    models = learner.trained(members, None)
    return np.column_stack([models["coefficients"], models["intercepts"]])


@pytest.mark.parametrize("alpha", [0.0, 1e-2, 30.0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("removed", [0, 1, 2, 5, 30])
def test_solutions_equal_refitting_to_1e_8_in_float64(alpha, intercept, weighted, removed):
    weights = np.random.default_rng(5).uniform(0.1, 3.0, 120) if weighted else None
    data = regression_data(n=120, d=20, weights=weights)
    members = left_out(120, removed)
    learner = ridge_learner(RidgeSpec(alpha=alpha, fit_intercept=intercept), data)
    expected = refitted(data, members, alpha=alpha, intercept=intercept)
    np.testing.assert_allclose(solutions(learner, members), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def test_leave_one_out_is_the_closed_form_of_the_hat_matrix():
    data = regression_data(n=200, d=8)
    X = np.column_stack([data.train_features, np.ones(200)])
    inverse = np.linalg.inv(X.T @ X + np.diag([2.0] * 8 + [0.0]))
    residuals = data.train_labels - X @ inverse @ X.T @ data.train_labels
    expected = residuals / (1.0 - np.einsum("ij,jk,ik->i", X, inverse, X))
    models = ridge_learner(RidgeSpec(alpha=2.0), data).trained(~np.eye(200, dtype=bool), None)
    predicted = np.einsum("kj,kj->k", models["coefficients"], data.train_features) + models["intercepts"]
    np.testing.assert_allclose(data.train_labels - predicted, expected, rtol=1e-8, atol=1e-9)


def test_every_way_is_taken_and_no_row_depends_on_its_neighbours():
    data = regression_data(n=300, d=12)
    learner = ridge_learner(RidgeSpec(), data)
    members = np.concatenate(
        [left_out(300, 1), left_out(300, 3), subsets(9, 300), subsets(7, 300, probability=0.03), left_out(300, 0)[:1]]
    )
    lengths = members.sum(axis=1)
    assert learner.downdates.serve(lengths).sum() == 25
    assert (learner.grams.serve(lengths) & ~learner.downdates.serve(lengths)).sum() == 9
    together = learner.retrain(members, None)
    for k in range(len(members)):
        assert_row_of(together, k, learner.retrain(members[k : k + 1], None))
    shuffled = np.random.default_rng(0).permutation(len(members))
    moved = learner.retrain(members[shuffled], None)
    assert moved.test["squared_error"].tobytes() == together.test["squared_error"][shuffled].tobytes()


def test_an_instance_that_fixes_a_coefficient_alone_is_taken_out_by_solving_anew():
    data = regression_data(n=50, d=4)
    alone = data.train_features.copy()
    alone[:, 0] = 0.0
    alone[7, 0] = 1.0
    spec = RidgeSpec(alpha=1e-9)
    learner = ridge_learner(spec, dataclasses.replace(data, train_features=alone))
    members = ~np.eye(50, dtype=bool)[7:8]
    assert np.isnan(learner.downdates.solutions(members)).all()
    found = learner.trained(members, None)["coefficients"][0]
    assert abs(found[0]) < 1e-9
    expected = refitted(dataclasses.replace(data, train_features=alone), members, alpha=1e-9, intercept=True)[0]
    np.testing.assert_allclose(found, expected[:-1], rtol=1e-8, atol=1e-9)


def test_collinear_columns_without_penalty_keep_the_solution_of_least_norm():
    data = regression_data(n=80, d=3)
    doubled = dataclasses.replace(data, train_features=np.tile(data.train_features, (1, 2)))
    doubled = dataclasses.replace(doubled, test_features=np.tile(data.test_features, (1, 2)))
    members = np.concatenate([left_out(80, 1, rows=2), subsets(2, 80)])
    found = solutions(ridge_learner(RidgeSpec(alpha=0.0), doubled), members)
    np.testing.assert_allclose(found[:, :3], found[:, 3:6], rtol=1e-8)
    single = solutions(ridge_learner(RidgeSpec(alpha=0.0), data), members)
    np.testing.assert_allclose(found[:, :3], single[:, :3] / 2, rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_scales_of_columns_and_offsets_do_not_cost_figures(scale):
    data = regression_data(n=100, d=5, offset=100.0)
    scales = np.array([scale, 1.0, 1.0, 1.0, 1.0])
    scaled = dataclasses.replace(data, train_features=data.train_features * scales)
    members = np.concatenate([left_out(100, 1, rows=3), subsets(3, 100)])
    found = solutions(ridge_learner(RidgeSpec(alpha=0.0), scaled), members)
    plain = refitted(data, members, alpha=0.0, intercept=True)
    np.testing.assert_allclose(found[:, :5] * scales, plain[:, :5], rtol=1e-7)


@pytest.mark.parametrize("value", [np.nan, 1e200, 1e12])
def test_an_instance_outside_the_subset_does_no_harm_whatever_its_features(value):
    data = regression_data(n=90, d=5)
    spoilt = data.train_features.copy()
    spoilt[4] = value
    members = np.concatenate([left_out(90, 2, rows=3), subsets(3, 90)])
    members[:, 4] = False
    with np.errstate(all="ignore"):
        learner = ridge_learner(RidgeSpec(), dataclasses.replace(data, train_features=spoilt))
        found = solutions(learner, members)
    expected = refitted(data, members, alpha=1.0, intercept=True)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)
