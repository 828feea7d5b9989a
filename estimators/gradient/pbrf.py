"""The proximal Bregman response function: what influence functions on networks in truth estimate.

Bae, Ng, Lo, Ghassemi and Grosse, NeurIPS 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.gradient.objective import Instances
from estimators.gradient.source import GradientSource


@dataclass(frozen=True, slots=True)
class Response:
    """values: L_j(theta_U) - L_j(theta_s) [groups, n_test]. changes: theta_U - theta_s [groups, p].

    gradients: the objective's gradient norm at each theta_U over that at theta_s, [groups]: the stationarity reached.
    """

    values: FloatArray
    changes: Tensor
    gradients: FloatArray


def proximal_bregman_response(
    source: GradientSource,
    train: Instances,
    test: Instances,
    groups: Sequence[Tensor],
    *,
    damping: float,
    iterations: int = 200,
    tolerance: float = 1e-9,
) -> Response:
    """For each group of positions, minimise from theta_s the Bregman distance of the outputs to those at theta_s.

    (1/n) sum_k D(f(x_k, theta), f(x_k, theta_s)) + sum_p (penalty_p + damping) / 2 (theta - theta_s)_p^2 - (1/n)
    sum_{i in U} L(z_i, theta), by full-batch L-BFGS, all training instances at once; a penalty's own Bregman distance
    is that square. Under mean deletion each instance takes its share (1/n) sum_p penalty_p / 2 theta_p^2 with it. Its
    first order in the group's weight is the influence function with the Gauss-Newton matrix, penalty and this damping.

    Raises:
        EstimatorError: parameters with neither damping nor penalty, without which the objective may have no minimum; or
            one of the groups runs away.
    """
    if float((source.penalties() + damping).min()) <= 0:
        raise EstimatorError("PBRF needs a damping above 0: without it the objective may have no minimum")
    objective = _Proximal(source, source.moved(train), damping)
    start = source.objective.theta(source.layout)
    moved_test = source.moved(test)
    with torch.no_grad():
        before = objective.losses(start, moved_test)
    values, changes, gradients = [], [], []
    for members in groups:
        theta, gradient = objective.minimised(start, members, iterations, tolerance)
        if not bool(torch.isfinite(theta).all()):
            raise EstimatorError(f"PBRF ran away leaving out {members.tolist()[:5]}: raise the damping")
        with torch.no_grad():
            values.append((objective.losses(theta, moved_test) - before).double())
        changes.append(theta - start)
        gradients.append(gradient)
    return Response(torch.stack(values).cpu().numpy(), torch.stack(changes), torch.tensor(gradients).double().numpy())


class _Proximal:
    def __init__(self, source: GradientSource, train: Instances, damping: float) -> None:
        self._source, self._train = source, train
        self._penalties = source.penalties()
        self._pulls = self._penalties + damping
        self._module = source.objective.module
        with torch.no_grad():
            self._outputs = self._module(train.features)
        leaf = self._outputs.clone().requires_grad_()
        losses = source.objective.loss(leaf, train.labels)
        self._slopes = torch.autograd.grad(losses.sum(), leaf)[0]
        self._start = source.objective.theta(source.layout)

    def losses(self, theta: Tensor, instances: Instances) -> Tensor:
        return self._source.objective.loss(self._forward(theta, instances.features), instances.labels)

    def _forward(self, theta: Tensor, features: Tensor) -> Tensor:
        named = dict(zip(self._source.layout.parameters, self._source.layout.unflatten(theta), strict=True))
        outputs: Tensor = functional_call(self._module, named, (features,))
        return outputs

    def value(self, theta: Tensor, members: Tensor) -> Tensor:
        outputs = self._forward(theta, self._train.features)
        losses = self._source.objective.loss(outputs, self._train.labels)
        linear = (self._slopes * (outputs - self._outputs)).sum()
        pull = (self._pulls * (theta - self._start).square()).sum() / 2
        out = losses[members].sum()
        if self._source.objective.deletion == "mean":
            out = out + len(members) * (self._penalties * theta.square()).sum() / 2
        value: Tensor = (losses.sum() - linear - out) / len(self._train) + pull
        return value

    def minimised(self, start: Tensor, members: Tensor, iterations: int, tolerance: float) -> tuple[Tensor, float]:
        theta = start.clone().requires_grad_()
        first = float(torch.autograd.grad(self.value(theta, members), theta)[0].norm())
        search = torch.optim.LBFGS(
            [theta],
            max_iter=iterations,
            tolerance_grad=tolerance * max(first, 1e-30) / len(theta) ** 0.5,  # of its largest entry, not its norm
            tolerance_change=0.0,
            history_size=50,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            search.zero_grad()
            value = self.value(theta, members)
            value.backward()  # type: ignore[no-untyped-call] # torch's
            return value

        search.step(closure)  # type: ignore[no-untyped-call] # torch's
        gradient = torch.autograd.grad(self.value(theta, members), theta)[0]
        return theta.detach(), float(gradient.norm()) / max(first, 1e-30)
