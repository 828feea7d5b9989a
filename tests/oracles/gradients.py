"""Independent ground truths for gradient estimators: plain autograd, one instance at a time, float64."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from estimators.gradient.layout import Layout
from estimators.gradient.objective import Instances, Objective


def rows(objective: Objective, layout: Layout, instances: Instances) -> Tensor:
    """Gradients [n, p] of the instances' losses, by one backward pass each."""
    named = dict(objective.module.named_parameters())
    parameters = [named[name] for name in layout.parameters]
    found = []
    for i in range(len(instances)):
        loss = objective.losses(instances[i : i + 1]).sum()
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        found.append(
            torch.cat(
                [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(grads, parameters, strict=True)]
            )
        )
    return torch.stack(found)


def hessian(objective: Objective, layout: Layout, instances: Instances) -> Tensor:
    """(1/n) sum of Hessians + penalty [p, p], row by row."""
    named = dict(objective.module.named_parameters())
    parameters = [named[name] for name in layout.parameters]
    with sdpa_kernel(SDPBackend.MATH):
        mean = objective.losses(instances).mean()
    gradient = torch.autograd.grad(mean, parameters, create_graph=True, allow_unused=True)
    flat = torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(gradient, parameters, strict=True)]
    )
    lines = []
    for each in flat:
        line = torch.autograd.grad(each, parameters, retain_graph=True, allow_unused=True)
        lines.append(
            torch.cat(
                [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(line, parameters, strict=True)]
            )
        )
    return torch.stack(lines).detach() + torch.diag(objective.penalties(layout))


def gauss_newton(objective: Objective, layout: Layout, instances: Instances) -> Tensor:
    """(1/n) sum_i J_i^T (hess of the loss in the outputs) J_i [p, p], instance by instance, without the penalty."""
    named = dict(objective.module.named_parameters())
    parameters = [named[name] for name in layout.parameters]
    total = torch.zeros(layout.size, layout.size, dtype=torch.float64)
    for i in range(len(instances)):
        one = instances[i : i + 1]
        outputs = objective.module(one.features)
        jacobian = torch.stack(
            [
                torch.cat([g.flatten() for g in torch.autograd.grad(each, parameters, retain_graph=True)])
                for each in outputs.flatten()
            ]
        )
        bend = torch.autograd.functional.hessian(
            lambda flat, one=one, outputs=outputs: objective.loss(flat.view_as(outputs), one.labels).sum(),
            outputs.detach().flatten(),
        )
        weight = 1.0 if one.weights is None else float(one.weights[0])
        total += weight * jacobian.T @ bend @ jacobian
    return total / len(instances)


def outer_sum(gradients: Sequence[Tensor], rates: Sequence[float], tests: Sequence[Tensor]) -> Tensor:
    """Sum over checkpoints of eta g_i . g_j, by a double loop [n, n_test]."""
    total = torch.zeros(len(gradients[0]), len(tests[0]), dtype=torch.float64)
    for train, rate, test in zip(gradients, rates, tests, strict=True):
        for i, row in enumerate(train):
            for j, column in enumerate(test):
                total[i, j] += rate * float(row @ column)
    return total
