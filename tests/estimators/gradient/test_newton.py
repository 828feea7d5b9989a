"""Newton's method by products: minima of known functions, and responses that converge by default."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from estimators.gradient.newton import factored, minimised
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.pbrf import proximal_bregman_response
from estimators.gradient.source import gradient_source


def rosenbrock(theta):
    return (100 * (theta[1:] - theta[:-1].square()).square() + (1 - theta[:-1]).square()).sum()


def test_a_curved_valley_is_followed_to_its_minimum():
    start = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    found, left = minimised(rosenbrock, start, products=200, tolerance=1e-10)
    torch.testing.assert_close(found, torch.ones(2, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    assert left <= 1e-10


def test_products_are_limited_and_the_factor_saves_them():
    scales = torch.logspace(-4, 0, 60, dtype=torch.float64)

    def function(theta):
        return (scales * (theta - 1).square()).sum() / 2 + 1e-3 * theta.pow(4).sum()

    start = torch.zeros(60, dtype=torch.float64)
    factor = factored(function, torch.ones(60, dtype=torch.float64) / 2)
    few = {"products": 12, "tolerance": 1e-6}
    assert minimised(function, start, **few)[1] > 1e-2
    assert minimised(function, start, factor=factor, **few)[1] < minimised(function, start, **few)[1] / 2
    assert minimised(function, start, products=400, tolerance=1e-6, factor=factor)[1] <= 1e-6
    assert factored(lambda theta: -function(theta), start) is None


def digits(n):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = LogisticRegression(C=0.1, tol=1e-8, max_iter=2000).fit(X[:n], y[:n])
    module = torch.nn.Linear(64, 10)
    module.weight.data = torch.tensor(model.coef_, dtype=torch.float32)
    module.bias.data = torch.tensor(model.intercept_, dtype=torch.float32)
    objective = Objective(module, CrossEntropy(), {"weight": 1 / (0.1 * n)}, "sum")
    train, test = (
        Instances(torch.tensor(X[rows]).float(), torch.tensor(y[rows])) for rows in (slice(n), slice(-20, None))
    )
    return objective, train, test


@pytest.mark.parametrize("most", [1024, 0])
def test_responses_of_digits_reach_their_tolerance_in_float32_by_default(monkeypatch, most):
    monkeypatch.setattr("estimators.gradient.pbrf.FACTORED", most)
    objective, train, test = digits(200)
    source = gradient_source(objective, train, dtype=torch.float32)
    groups = [torch.tensor([place]) for place in range(0, 200, 20)]
    found = proximal_bregman_response(source, train, test, groups, damping=0.01, tolerance=1e-5)
    assert found.gradients.max() <= 1e-5


def test_responses_are_the_minimisers_that_dense_newton_finds():
    objective, train, test = digits(60)
    source = gradient_source(objective, train)
    x, y = torch.cat([train.features, torch.ones(60, 1)], dim=1).double(), train.labels
    weight, bias = (part.detach().double() for part in objective.module.parameters())
    theta_s = torch.cat([weight, bias[:, None]], dim=1)
    pulls = torch.full((10, 65), 0.01, dtype=torch.float64)
    pulls[:, :-1] += 1 / 6.0
    p, targets = torch.softmax(x @ theta_s.T, dim=1), torch.nn.functional.one_hot(y, 10)
    place, theta = 7, theta_s.clone()
    for _ in range(12):
        q = torch.softmax(x @ theta.T, dim=1)
        slope = (q - p).T @ x / 60 + pulls * (theta - theta_s) - torch.outer(q[place] - targets[place], x[place]) / 60
        bend = (torch.diag_embed(q) - q[:, :, None] * q[:, None, :]) / 60
        bend[place] = 0.0  # without it
        hessian = torch.einsum("kab,kc,kd->acbd", bend, x, x).reshape(650, 650) + torch.diag(pulls.flatten())
        theta = theta - torch.linalg.solve(hessian, slope.flatten()).view_as(theta)
    found = proximal_bregman_response(source, train, test, [torch.tensor([place])], damping=0.01)
    exact = theta - theta_s
    changes = torch.cat([found.changes[0][:640].view(10, 64), found.changes[0][640:, None]], dim=1)
    np.testing.assert_allclose(changes.numpy(), exact.numpy(), rtol=1e-6, atol=1e-9)


def test_an_instance_of_twice_the_weight_is_two_instances():
    objective, train, test = digits(60)
    weights = torch.ones(60)
    weights[7] = 2.0
    weighted = Instances(train.features, train.labels, weights * 60 / 61)
    twice = Instances(torch.cat([train.features, train.features[7:8]]), torch.cat([train.labels, train.labels[7:8]]))
    found, wanted = (
        proximal_bregman_response(gradient_source(objective, each), each, test, groups, damping=0.01)
        for each, groups in (
            (weighted, [torch.tensor([7]), torch.tensor([3])]),
            (twice, [torch.tensor([7, 60]), torch.tensor([3])]),
        )
    )
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5, atol=1e-9)
