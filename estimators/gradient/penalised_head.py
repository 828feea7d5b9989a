"""The last linear layer under an L2, L1 or nuclear norm penalty, on fixed features, and its sum over instances.

At a stationary point the layer is a sum over training instances i with alpha_i = -(dL_i / d outputs) / (penalty n):

    l2        theta = sum_i alpha_i f_i^T                                    (Yeh, Kim, Yen and Ravikumar, NeurIPS 2018)
    l1        theta_c = |theta_c| sum_i alpha_ic f_i, elementwise            (Tsai et al., ICML 2023)
    nuclear   theta = U S^1/2 U^T (sum_i alpha_i f_i^T) V S^1/2 V^T          (the same, theta = U S V^T)

so each instance has a share of every output.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from estimators.errors import EstimatorError

HeadPenalty = Literal["l2", "l1", "nuclear"]
HeadLoss = Literal["cross_entropy", "squared_error"]
_BENDS = {"cross_entropy": 0.5, "squared_error": 2.0}
"""The largest second derivative of the loss in the outputs."""
CHECKED_EVERY = 50


@dataclass(frozen=True, slots=True)
class PenalisedHead:
    """theta: [C, h]. alphas: [n, C]. features: [n, h]. residual: largest gap of theta to the sum, over theta's largest.

    All float64.
    """

    form: HeadPenalty
    theta: Tensor
    alphas: Tensor
    features: Tensor
    residual: float

    def on_losses(self, rows: slice, test_features: Tensor, test_slopes: Tensor) -> Tensor:
        """Linearised loss values [r, n_test] of some training instances, slopes dL_j / d outputs [n_test, C].

        Positive lowers the loss: what the loss gains where the instance's share of the outputs goes.
        """
        alphas, features = self.alphas[rows], self.features[rows]
        if self.form == "l1":
            shares = [
                (alphas[:, c, None] * test_slopes[:, c]) * ((features * size) @ test_features.T)
                for c, size in enumerate(self.theta.abs())
            ]
            return -torch.stack(shares).sum(dim=0)
        left, right = self._sides()
        return -(alphas @ left @ test_slopes.T) * (features @ right @ test_features.T)

    def on_own_losses(self, rows: slice, slopes: Tensor) -> Tensor:
        """The same on each training instance's own loss [r]; slopes [r, C]."""
        alphas, features = self.alphas[rows], self.features[rows]
        if self.form == "l1":
            return -((alphas * slopes) * (features.square() @ self.theta.abs().T)).sum(dim=1)
        left, right = self._sides()
        return -((alphas @ left) * slopes).sum(dim=1) * ((features @ right) * features).sum(dim=1)

    def _sides(self) -> tuple[Tensor, Tensor]:
        if self.form == "nuclear":
            return _roots(self.theta)
        outputs, width = self.theta.shape
        return torch.eye(outputs, dtype=self.theta.dtype), torch.eye(width, dtype=self.theta.dtype)


def head_slopes(outputs: Tensor, labels: Tensor, loss: HeadLoss) -> Tensor:
    """Slopes dL / d outputs [m, C] of cross-entropy (labels: codes [m]) or squared error (targets [m] or [m, C])."""
    if loss == "squared_error":
        return 2.0 * (outputs - labels.double().view_as(outputs))
    return torch.softmax(outputs, dim=1) - functional.one_hot(labels, outputs.shape[1])


def fit_penalised_head(
    features: Tensor,
    labels: Tensor,
    outputs: int,
    *,
    form: HeadPenalty,
    penalty: float,
    loss: HeadLoss = "cross_entropy",
    tolerance: float = 1e-6,
    iterations: int = 100_000,
) -> PenalisedHead:
    """Minimise (1/n) sum L_i + penalty times (1/2) ||theta||^2, the sum of |theta| or the sum of singular values.

    features: [n, h] with a 1 appended for a bias, which is penalised too. Accelerated proximal descent (Beck and
    Teboulle 2009) that starts anew where it would turn back (O'Donoghue and Candes 2015), until the layer is its own
    sum over instances to `tolerance`.

    Raises:
        EstimatorError: the tolerance is not reached, or the penalty leaves nothing of the layer.
    """
    x = features.double()
    bend = _BENDS[loss] * float(torch.linalg.eigvalsh(x.T @ x / len(x)).max())
    step = 1.0 / (bend + (penalty if form == "l2" else 0.0))
    shrink = _shrink(form, penalty * step)
    theta = torch.zeros(outputs, x.shape[1], dtype=torch.float64, device=x.device)
    ahead, pace, head = theta, 1.0, None
    for at in range(1, iterations + 1):
        slope = head_slopes(x @ ahead.T, labels, loss).T @ x / len(x)
        moved = shrink(ahead - step * (slope + (penalty * ahead if form == "l2" else 0.0)))
        if float(((ahead - moved) * (moved - theta)).sum()) > 0:  # the last steps' way leads uphill
            ahead, pace = moved, 1.0
        else:
            quicker = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
            ahead, pace = moved + (pace - 1) / quicker * (moved - theta), quicker
        theta = moved
        if at % CHECKED_EVERY == 0:
            head = _measured(form, theta, x, labels, penalty, loss)
            if head.residual <= tolerance:
                return head
    found = "nothing of the layer is left" if head is None or not bool(theta.any()) else f"{head.residual:.1e}"
    raise EstimatorError(
        f"the last layer under a penalty ({form}) of {penalty:g} is not the sum of its instances to {tolerance:g} "
        f"after {iterations:,} steps: {found}; give another `penalty`, or a larger `tolerance`"
    )


def _measured(
    form: HeadPenalty, theta: Tensor, x: Tensor, labels: Tensor, penalty: float, loss: HeadLoss
) -> PenalisedHead:
    alphas = -head_slopes(x @ theta.T, labels, loss) / (penalty * len(x))
    total = alphas.T @ x
    if form == "l1":
        total = theta.abs() * total
    elif form == "nuclear":
        left, right = _roots(theta)
        total = left @ total @ right
    largest = float(theta.abs().max())
    residual = float((total - theta).abs().max()) / largest if largest else torch.inf
    return PenalisedHead(form, theta, alphas, x, residual)


def _shrink(form: HeadPenalty, by: float) -> Callable[[Tensor], Tensor]:
    """The proximal step of the penalty; that of L2 is in the gradient."""
    if form == "l1":
        return lambda theta: theta.sign() * (theta.abs() - by).clamp(min=0.0)
    if form == "nuclear":
        return lambda theta: _singular_values_less(theta, by)
    return lambda theta: theta


def _singular_values_less(theta: Tensor, by: float) -> Tensor:
    u, s, vt = torch.linalg.svd(theta, full_matrices=False)
    found: Tensor = (u * (s - by).clamp(min=0.0)) @ vt
    return found


def _roots(theta: Tensor) -> tuple[Tensor, Tensor]:
    """U S^1/2 U^T [C, C] and V S^1/2 V^T [h, h]."""
    u, s, vt = torch.linalg.svd(theta, full_matrices=False)
    roots = s.sqrt()
    return (u * roots) @ u.T, (vt.T * roots) @ vt
