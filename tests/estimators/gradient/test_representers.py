"""Representers: the sum over training instances is the output itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from estimators.errors import EstimatorError
from estimators.gradient.head import fit_head, head_gradient, head_hessian, local_jacobian_expansion
from estimators.gradient.representer import Loss, nuclear_representer, representer

N, TESTS, CLASSES, PENALTY = 40, 6, 3, 0.02


def features():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(N + TESTS, 4, generator=generator, dtype=torch.float64)
    drawn = torch.cat([drawn, torch.ones(N + TESTS, 1, dtype=torch.float64)], dim=1)
    labels = torch.randint(CLASSES, (N + TESTS,), generator=generator)
    return drawn[:N], drawn[N:], labels[:N], labels[N:]


def fitted():
    train, test, labels, test_labels = features()
    head = fit_head(train, labels, CLASSES, penalty=PENALTY)
    one_hot = torch.nn.functional.one_hot(labels, CLASSES)
    slopes = torch.softmax(train @ head.theta.T, dim=1) - one_hot
    outputs = test @ head.theta.T
    return head, (train, test, slopes, outputs), (labels, test_labels)


def test_the_sum_of_representers_is_every_logit():
    head, (train, test, slopes, outputs), (_, test_labels) = fitted()
    assert head.gradient <= 1e-10
    found = representer(train.numpy(), test.numpy(), slopes.numpy(), outputs.numpy(), penalty=PENALTY)
    assert found.residual < 1e-8
    total = sum(found.on_outputs(np.full(TESTS, c)).sum(axis=0)[None] * np.eye(CLASSES)[:, [c]] for c in range(CLASSES))
    np.testing.assert_allclose(total.T, outputs.numpy(), atol=1e-7)
    loss = Loss("cross_entropy", test_labels.numpy())
    exact = found.on_losses_exactly(outputs.numpy(), loss)
    np.testing.assert_allclose(
        exact[5, 2],
        float(
            torch.nn.functional.cross_entropy(
                outputs[2] - torch.from_numpy(found.alphas[5]) * found.kernel[5, 2], test_labels[2]
            )
            - torch.nn.functional.cross_entropy(outputs[2], test_labels[2])
        ),
        atol=1e-12,
    )
    test_slopes = (torch.softmax(outputs, dim=1) - torch.nn.functional.one_hot(test_labels, CLASSES)).numpy()
    linear = found.on_losses(test_slopes)
    slight = replace(found, alphas=1e-6 * found.alphas).on_losses_exactly(outputs.numpy(), loss)
    np.testing.assert_allclose(slight * 1e6, linear, rtol=1e-4, atol=1e-6)


def test_a_model_that_is_not_stationary_is_refused_with_its_residual():
    _, (train, test, slopes, outputs), _ = fitted()
    with pytest.raises(EstimatorError, match="misses the outputs by"):
        representer(train.numpy(), test.numpy(), slopes.numpy(), 1.1 * outputs.numpy(), penalty=PENALTY)
    with pytest.raises(EstimatorError, match="penalty above 0"):
        representer(train.numpy(), test.numpy(), slopes.numpy(), outputs.numpy(), penalty=0.0)


def test_the_l1_representer_sums_to_the_prediction():
    rng = np.random.default_rng(1)
    X, X_test = rng.normal(size=(N, 5)), rng.normal(size=(TESTS, 5))
    y = X @ np.array([1.5, 0.0, -2.0, 0.0, 0.7]) + 0.1 * rng.normal(size=N)
    lam, theta = 0.1, np.zeros(5)
    step = 1 / np.linalg.eigvalsh(X.T @ X / N).max()
    for _ in range(20_000):
        moved = theta - step * X.T @ (X @ theta - y) / N
        theta = np.sign(moved) * np.maximum(np.abs(moved) - step * lam, 0)
    slopes = (X @ theta - y)[:, None]
    found = representer(
        X, X_test, slopes, (X_test @ theta)[:, None], penalty=lam, form="l1", theta=theta[None], tolerance=1e-10
    )
    np.testing.assert_allclose(found.on_outputs(np.zeros(TESTS, dtype=int)).sum(axis=0), X_test @ theta, atol=1e-12)


def test_the_nuclear_representer_sums_to_the_prediction():
    rng = np.random.default_rng(2)
    z, v = rng.normal(size=(N, 4)), rng.normal(size=(N, 3))
    z_test, v_test = rng.normal(size=(TESTS, 4)), rng.normal(size=(TESTS, 3))
    y = np.einsum("ni,ij,nj->n", z, np.outer([1.0, 2, 0, -1], [1.0, -1, 0.5]), v) + 0.1 * rng.normal(size=N)
    lam, theta = 0.2, np.zeros((4, 3))
    design = np.einsum("ni,nj->nij", z, v).reshape(N, -1)
    step = 1 / np.linalg.eigvalsh(design.T @ design / N).max()
    for _ in range(20_000):
        residual = np.einsum("ni,ij,nj->n", z, theta, v) - y
        moved = theta - step * np.einsum("n,ni,nj->ij", residual, z, v) / N
        u, s, vt = np.linalg.svd(moved, full_matrices=False)
        theta = (u * np.maximum(s - step * lam, 0)) @ vt
    residual = np.einsum("ni,ij,nj->n", z, theta, v) - y
    outputs = np.einsum("ni,ij,nj->n", z_test, theta, v_test)[:, None]
    found = nuclear_representer(
        (z, z_test), (v, v_test), residual[:, None], outputs, theta, penalty=lam, tolerance=1e-10
    )
    np.testing.assert_allclose(found.on_outputs(np.zeros(TESTS, dtype=int)).sum(axis=0), outputs[:, 0], atol=1e-11)


def test_local_jacobian_expansion_sums_to_a_newton_step():
    train, test, labels, _ = features()
    generator = torch.Generator().manual_seed(4)
    theta = 0.3 * torch.randn(CLASSES, 5, generator=generator, dtype=torch.float64)
    wanted = torch.nn.functional.one_hot(labels, CLASSES).double()
    weights = local_jacobian_expansion(theta, train, labels, CLASSES, penalty=PENALTY)
    moved = theta + 0.01 * head_gradient(theta, train, wanted, PENALTY)
    slope = head_gradient(moved, train, wanted, PENALTY)
    newton = moved - torch.linalg.solve(head_hessian(moved, train, PENALTY), slope.flatten()).view_as(theta)
    torch.testing.assert_close(weights.sum(dim=0), newton, rtol=1e-10, atol=1e-12)
    fit = fit_head(train, labels, CLASSES, penalty=PENALTY)
    near = local_jacobian_expansion(fit.theta, train, labels, CLASSES, penalty=PENALTY)
    torch.testing.assert_close(test @ near.sum(dim=0).T, test @ fit.theta.T, rtol=1e-6, atol=1e-8)
