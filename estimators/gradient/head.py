"""The last linear layer alone, fitted to stationarity on fixed features: what representers stand on."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from estimators.errors import EstimatorError


@dataclass(frozen=True, slots=True)
class Head:
    """theta: [C, h]. gradient: its largest component in (1/n) sum L_i + (lam / 2) ||theta||^2."""

    theta: Tensor
    gradient: float


def fit_head(
    features: Tensor, targets: Tensor, classes: int, *, penalty: float, tolerance: float = 1e-10, iterations: int = 100
) -> Head:
    """Softmax regression by Newton's method with halved steps, in float64.

    features: [n, h] with a 1 appended for a bias. targets: class codes [n], or probabilities [n, C] (the model's own
    predictions, as Yeh et al. 2018 fit them).

    Raises:
        EstimatorError: the tolerance is not reached.
    """
    x = features.double()
    wanted = functional.one_hot(targets, classes).double() if targets.ndim == 1 else targets.double()
    theta = torch.zeros(classes, x.shape[1], dtype=torch.float64, device=x.device)
    for _ in range(iterations):
        slope = head_gradient(theta, x, wanted, penalty)
        largest = float(slope.abs().max())
        if largest <= tolerance:
            return Head(theta, largest)
        step = torch.linalg.solve(head_hessian(theta, x, penalty), slope.flatten()).view_as(theta)
        before, length = _value(theta, x, wanted, penalty), 1.0
        while float(_value(theta - length * step, x, wanted, penalty)) > float(before) and length > 1e-8:
            length /= 2
        theta = theta - length * step
    raise EstimatorError(
        f"the last layer's gradient is {largest:.1e} after {iterations} Newton steps, above {tolerance:.1e}: "
        "raise the penalty"
    )


def head_gradient(theta: Tensor, features: Tensor, wanted: Tensor, penalty: float) -> Tensor:
    """Gradient [C, h] of the penalised mean cross-entropy; wanted: probabilities [n, C]."""
    slopes = torch.softmax(features @ theta.T, dim=1) - wanted
    return slopes.T @ features / len(features) + penalty * theta


def head_hessian(theta: Tensor, features: Tensor, penalty: float) -> Tensor:
    """Its Hessian [C h, C h]."""
    p = torch.softmax(features @ theta.T, dim=1)
    bend = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    hessian = torch.einsum("icd,ih,ik->chdk", bend, features, features) / len(features)
    size = theta.numel()
    return hessian.reshape(size, size) + penalty * torch.eye(size, dtype=theta.dtype, device=theta.device)


def _value(theta: Tensor, features: Tensor, wanted: Tensor, penalty: float) -> Tensor:
    logs = torch.log_softmax(features @ theta.T, dim=1)
    value: Tensor = -(wanted * logs).sum(dim=1).mean() + penalty / 2 * theta.square().sum()
    return value


def local_jacobian_expansion(
    theta: Tensor,
    features: Tensor,
    targets: Tensor,
    classes: int,
    *,
    penalty: float,
    rate: float = 0.01,
    rows: slice | None = None,
) -> Tensor:
    """RPS-LJE weights w_i [r, C, h] of `rows`, unsaid all (Sui, Wu and Sanner, NeurIPS 2021): no stationarity needed.

    After one gradient ascent step from theta to theta', w_i = (1/n) (theta' - A^-1 g_i), with A the Hessian of the
    penalised loss at theta' and g_i the gradient of L_i + (lam / 2) ||theta||^2 there. Their sum is one Newton step
    from theta'; the value on logit c of a test instance is w_i[c] . f_te.
    """
    x, wanted = features.double(), functional.one_hot(targets, classes).double()
    moved = theta.double() + rate * head_gradient(theta.double(), x, wanted, penalty)
    part = slice(None) if rows is None else rows
    slopes = torch.softmax(x[part] @ moved.T, dim=1) - wanted[part]
    gradients = slopes[:, :, None] * x[part, None, :] + penalty * moved
    steps = torch.linalg.solve(head_hessian(moved, x, penalty), gradients.flatten(1).T).T.view_as(gradients)
    weights: Tensor = (moved - steps) / len(x)
    return weights
