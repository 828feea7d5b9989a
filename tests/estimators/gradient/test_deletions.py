"""Leaving instances out: closed forms, influence functions against them, groups to second order, PBRF, FastIF."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gradient_models import case
from torch import nn

from estimators.errors import EstimatorError
from estimators.gradient.closed_form import least_squares
from estimators.gradient.engine import Engine
from estimators.gradient.fast_if import fast_influence, last_features, nearest
from estimators.gradient.fitting import fit_curvature
from estimators.gradient.objective import CrossEntropy, Instances, Objective, SquaredError
from estimators.gradient.pbrf import proximal_bregman_response
from estimators.gradient.record import CurvatureOptions, Estimator
from estimators.gradient.second_order import group_change, group_influence
from estimators.gradient.source import gradient_source

PENALTY = 0.05


def regression(n=60, columns=5, seed=0):
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(n, columns - 1)), np.ones((n, 1))], axis=1)
    return X, X @ rng.normal(size=columns) + rng.normal(size=n), rng.normal(size=(7, columns)), rng.normal(size=7)


def solution(X, y, penalty, divisor=None):
    n = len(X) if divisor is None else divisor
    return np.linalg.solve(X.T @ X / n + penalty * np.eye(X.shape[1]), X.T @ y / n)


def test_least_squares_deletions_are_refits():
    X, y, X_test, y_test = regression()
    fit = least_squares(X, y, penalty=PENALTY)
    changes = fit.parameter_changes()
    for i in (0, 17, 59):
        rest = np.arange(60) != i
        without = solution(X[rest], y[rest], PENALTY, divisor=60)
        np.testing.assert_allclose(changes[i], fit.theta - without, atol=1e-13)
        loss = 0.5 * ((X_test @ without - y_test) ** 2 - (X_test @ fit.theta - y_test) ** 2)
        np.testing.assert_allclose(fit.leave_one_out(X_test, y_test)[i], loss, atol=1e-13)
    group = np.array([3, 4, 20, 41])
    rest = np.delete(np.arange(60), group)
    np.testing.assert_allclose(
        fit.group_changes(group), fit.theta - solution(X[rest], y[rest], PENALTY, divisor=60), atol=1e-13
    )


def test_cooks_distance_and_dffits_are_their_definitions():
    X, y, _, _ = regression()
    fit = least_squares(X, y)
    s2 = fit.residuals @ fit.residuals / (60 - 5)
    moves = fit.parameter_changes() @ X.T
    np.testing.assert_allclose(fit.cooks_distances(), (moves**2).sum(axis=1) / (5 * s2), rtol=1e-10)
    for i in (2, 33):
        rest = np.arange(60) != i
        theta = solution(X[rest], y[rest], 0.0)
        s = np.sqrt(((y[rest] - X[rest] @ theta) ** 2).sum() / (59 - 5))
        exact = (X[i] @ fit.theta - X[i] @ theta) / (s * np.sqrt(fit.leverages[i]))
        assert fit.dffits()[i] == pytest.approx(exact, rel=1e-9)


def test_saturated_and_singular_fits_are_refused():
    X = np.eye(3)
    with pytest.raises(EstimatorError, match="instance 0 has leverage 1"):
        least_squares(X, np.ones(3)).parameter_changes()
    with pytest.raises(EstimatorError, match="singular"):
        least_squares(np.ones((4, 2)), np.ones(4))


def ridge_model(X, y, X_test, y_test, deletion):
    module = nn.Linear(X.shape[1], 1, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(solution(X, y, PENALTY))[None])
    train, test = (Instances(torch.from_numpy(a), torch.from_numpy(b)) for a, b in ((X, y), (X_test, y_test)))
    objective = Objective(module, SquaredError(0.5), penalty=PENALTY, deletion=deletion)
    return gradient_source(objective, train), train, test


def exact_influence():
    return Estimator(name="influence_function", curvature="exact", options=CurvatureOptions(damping=0.0))


def test_on_ridge_the_influence_function_is_leave_one_out_to_first_order():
    X, y, X_test, y_test = regression()
    source, train, test = ridge_model(X, y, X_test, y_test, "sum")
    values = Engine(exact_influence(), source, train, test).values()
    fit = least_squares(X, y, penalty=PENALTY)
    errors = X_test @ fit.theta - y_test
    exact = -(fit.parameter_changes() * (1 - fit.leverages)[:, None]) @ (errors[:, None] * X_test).T
    np.testing.assert_allclose(values, exact, rtol=1e-10, atol=1e-14)


def test_the_mean_form_sums_to_zero_and_matches_a_mean_learner():
    X, y, X_test, y_test = regression()
    found = {}
    for deletion in ("sum", "mean"):
        source, train, test = ridge_model(X, y, X_test, y_test, deletion)
        found[deletion] = Engine(exact_influence(), source, train, test).values()
    np.testing.assert_allclose(found["mean"].sum(axis=0), 0, atol=1e-13)
    theta = solution(X, y, PENALTY)
    loo = []
    for i in range(60):
        rest = np.arange(60) != i
        without = solution(X[rest], y[rest], PENALTY)
        loo.append(0.5 * ((X_test @ without - y_test) ** 2 - (X_test @ theta - y_test) ** 2))
    correlations = {k: np.corrcoef(v.ravel(), np.ravel(loo))[0, 1] for k, v in found.items()}
    assert correlations["mean"] > 0.99
    assert correlations["mean"] > correlations["sum"]


def newton_logistic(X, y, penalty, divisor):
    """Theta [C, d] of (1 / divisor) sum L + (penalty / 2) ||theta||^2, to 1e-12."""
    x, labels = torch.from_numpy(X), torch.from_numpy(y)
    theta = torch.zeros(2, X.shape[1], dtype=torch.float64)
    for _ in range(50):
        p = torch.softmax(x @ theta.T, 1)
        slope = (p - nn.functional.one_hot(labels, 2)).T @ x / divisor + penalty * theta
        if slope.abs().max() < 1e-12:
            return theta
        bend = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        hessian = torch.einsum("icd,ih,ik->chdk", bend, x, x).reshape(theta.numel(), -1) / divisor
        hessian += penalty * torch.eye(len(hessian), dtype=torch.float64)
        theta = theta - torch.linalg.solve(hessian, slope.flatten()).view_as(theta)
    raise AssertionError


def test_on_logistic_regression_the_gap_to_leave_one_out_falls_as_one_over_n():
    rng = np.random.default_rng(0)
    gaps = []
    X_all, X_test = rng.normal(size=(400, 3)), rng.normal(size=(5, 3))
    truth = np.array([1.0, -1.0, 0.5])
    y_all = (rng.random(400) < 1 / (1 + np.exp(-X_all @ truth))).astype(np.int64)
    y_test = (rng.random(5) < 1 / (1 + np.exp(-X_test @ truth))).astype(np.int64)
    test = Instances(torch.from_numpy(X_test), torch.from_numpy(y_test))
    for n in (50, 100, 200, 400):
        X, y = X_all[:n], y_all[:n]
        module = nn.Linear(3, 2, bias=False).double()
        theta = newton_logistic(X, y, PENALTY, n)
        with torch.no_grad():
            module.weight.copy_(theta)
        objective = Objective(module, CrossEntropy(), penalty=PENALTY, deletion="sum")
        train = Instances(torch.from_numpy(X), torch.from_numpy(y))
        values = Engine(exact_influence(), gradient_source(objective, train), train, test).values()
        loss = CrossEntropy()
        base = loss(test.features @ theta.T, test.labels)
        some = np.arange(0, n, n // 25)
        loo = []
        for i in some:
            rest = np.arange(n) != i
            without = newton_logistic(X[rest], y[rest], PENALTY, n)
            loo.append((loss(test.features @ without.T, test.labels) - base).numpy())
        loo = np.array(loo)
        gaps.append(np.abs(loo - values[some]).max() / np.abs(loo).max())
    assert gaps[0] < 0.5
    slope = np.polyfit(np.log([50, 100, 200, 400]), np.log(gaps), 1)[0]
    assert -1.5 < slope < -0.6  # 1/n, over eight-fold n on one sample


def test_groups_to_second_order_on_a_mean_ridge():
    X, y, X_test, y_test = regression()
    source, train, test = ridge_model(X, y, X_test, y_test, "mean")
    curvature = fit_curvature("exact", source, train, CurvatureOptions(damping=0.0))
    theta = solution(X, y, PENALTY)
    for k, first_above in ((3, 0.0), (10, 0.03)):
        members = torch.arange(5, 5 + k)
        rest = np.delete(np.arange(60), members.numpy())
        exact = solution(X[rest], y[rest], PENALTY) - theta
        errors = {}
        for form in ("first", "neumann", "basu", "newton"):
            found = group_change(source, train, members, curvature, form=form)
            errors[form] = np.linalg.norm(found.change.numpy() - exact) / np.linalg.norm(exact)
        assert errors["newton"] < 1e-6
        assert errors["first"] > first_above
        assert errors["neumann"] < errors["first"]
        assert errors["basu"] < errors["first"]
    change = torch.from_numpy(exact)
    loss = 0.5 * ((X_test @ (theta + exact) - y_test) ** 2 - (X_test @ theta - y_test) ** 2)
    np.testing.assert_allclose(group_influence(source, test, change, exact_losses=True), loss, rtol=1e-9, atol=1e-13)
    linear = (X_test @ theta - y_test) * (X_test @ exact)
    np.testing.assert_allclose(group_influence(source, test, change), linear, rtol=1e-9, atol=1e-13)
    first = group_change(source, train, torch.tensor([4]), curvature, form="first").change
    values = Engine(exact_influence(), source, train, test).values()
    np.testing.assert_allclose(group_influence(source, test, first), values[4], rtol=1e-9)
    with pytest.raises(EstimatorError, match="a group of 60 of 60"):
        group_change(source, train, torch.arange(60), curvature)


def test_pbrf_on_ridge_is_leave_one_out_exactly():
    X, y, X_test, y_test = regression()
    source, train, test = ridge_model(X, y, X_test, y_test, "sum")
    groups = [torch.tensor([4]), torch.tensor([8, 9])]
    found = proximal_bregman_response(source, train, test, groups, damping=0.0)
    fit = least_squares(X, y, penalty=PENALTY)
    np.testing.assert_allclose(found.changes[0].numpy(), -fit.parameter_changes()[4], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.changes[1].numpy(), -fit.group_changes(np.array([8, 9])), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.values[0], fit.leave_one_out(X_test, y_test)[4], rtol=1e-5, atol=1e-9)
    assert found.gradients.max() < 1e-6
    mean, _, _ = ridge_model(X, y, X_test, y_test, "mean")
    without = solution(np.delete(X, 4, 0), np.delete(y, 4), PENALTY)
    found = proximal_bregman_response(mean, train, test, groups[:1], damping=0.0)
    np.testing.assert_allclose(found.changes[0].numpy(), without - fit.theta, rtol=1e-6, atol=1e-9)
    bare = gradient_source(replace(source.objective, penalty=0.0), train)
    with pytest.raises(EstimatorError, match="needs a damping above 0"):
        proximal_bregman_response(bare, train, test, groups, damping=0.0)


def test_pbrf_on_a_network_is_what_gauss_newton_influence_estimates():
    objective, train, test = case("perceptron", 200, 6)
    source = gradient_source(objective, train)
    some = [torch.tensor([i]) for i in range(8)]
    damping = 0.05
    truth = proximal_bregman_response(source, train, test, some, damping=damping).values
    record = Estimator(name="x", curvature="exact", options=CurvatureOptions(damping=damping, matrix="gauss_newton"))
    values = Engine(record, source, train, test).values()[:8]
    assert np.corrcoef(values.ravel(), truth.ravel())[0, 1] > 0.98


def test_fast_influence_is_the_influence_on_the_nearest_and_unknown_elsewhere():
    objective, train, test = case("perceptron", 20, 5)
    source = gradient_source(objective, train, block_rows=6)
    features, test_features = last_features(source, train), last_features(source, test)
    hidden = torch.tanh(objective.module.fc1(train.features)).detach()
    torch.testing.assert_close(features, hidden)
    engine = Engine(exact_influence_of_gauss_newton(), source, train, test)
    values = engine.values()
    every = fast_influence(engine, nearest(features, test_features, 20))
    assert every.computed.all()
    np.testing.assert_allclose(every.values, values, rtol=1e-12)
    few = fast_influence(engine, nearest(features, test_features, 3))
    distances = torch.cdist(features, test_features).numpy()
    assert np.array_equal(few.computed, distances <= np.sort(distances, axis=0)[2])
    assert np.isnan(few.values[~few.computed]).all()
    np.testing.assert_allclose(few.values[few.computed], values[few.computed], rtol=1e-12)


def exact_influence_of_gauss_newton():
    return Estimator(name="x", curvature="exact", options=CurvatureOptions(damping=0.3, matrix="gauss_newton"))
