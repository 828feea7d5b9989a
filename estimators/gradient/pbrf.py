"""The proximal Bregman response function: what influence functions on networks in truth estimate.

Bae, Ng, Lo, Ghassemi and Grosse, NeurIPS 2022.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.gradient.newton import Factor, factored, minimised
from estimators.gradient.objective import Instances
from estimators.gradient.source import GradientSource

FACTORED = 1024
"""Parameters up to which the Hessian at theta_s is factored once, for all groups: it is nearly that of each of them."""


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
    sum_{i in U} L(z_i, theta), by Newton's method, all training instances at once; a penalty's own Bregman distance
    is that square. Under mean deletion each instance takes its share (1/n) sum_p penalty_p / 2 theta_p^2 with it. Its
    first order in the group's weight is the influence function with the Gauss-Newton matrix, penalty and this damping.
    iterations: the most Hessian products of a group.

    Raises:
        EstimatorError: parameters with neither damping nor penalty, without which the objective may have no minimum; or
            one of the groups runs away.
    """
    return ProximalBregman(source, train, damping).responses(test, groups, iterations, tolerance)


class ProximalBregman:
    """The objective of one model and training set, for any number of groups: what they share is made once.

    In float64 where the model runs in it, whatever the source's type: a gradient here is a difference of nearly equal
    slopes. Raises EstimatorError as `proximal_bregman_response`.
    """

    def __init__(self, source: GradientSource, train: Instances, damping: float) -> None:
        if float((source.penalties() + damping).min()) <= 0:
            raise EstimatorError("PBRF needs a damping above 0: without it the objective may have no minimum")
        self._source = _in_double(source, train)
        self._train = self._source.moved(train)
        self._penalties = self._source.penalties()
        self._pulls = self._penalties + damping
        self._start = self._source.objective.theta(self._source.layout)
        with torch.no_grad():
            self._outputs = self._forward(self._start, self._train.features)
        leaf = self._outputs.clone().requires_grad_()
        losses = self._weighted(leaf)
        self._slopes = torch.autograd.grad(losses.sum(), leaf)[0]
        self._factor: Factor | None = None

    def responses(self, test: Instances, groups: Sequence[Tensor], iterations: int, tolerance: float) -> Response:
        """Each group's. Raises EstimatorError where one of them runs away."""
        moved_test = self._source.moved(test)
        if self._factor is None and len(self._start) <= FACTORED:
            self._factor = factored(lambda theta: self._value(theta, None), self._start)
        with torch.no_grad():
            before = self._losses(self._start, moved_test)
        values, changes, gradients = [], [], []
        for members in groups:
            theta, gradient = self._minimised(members, iterations, tolerance)
            if not bool(torch.isfinite(theta).all()):
                raise EstimatorError(f"PBRF ran away leaving out {members.tolist()[:5]}: raise the damping")
            with torch.no_grad():
                values.append((self._losses(theta, moved_test) - before).double())
            changes.append(theta - self._start)
            gradients.append(gradient)
        left = torch.tensor(gradients).double().numpy()
        return Response(torch.stack(values).cpu().numpy(), torch.stack(changes), left)

    def _minimised(self, members: Tensor, iterations: int, tolerance: float) -> tuple[Tensor, float]:
        return minimised(
            lambda theta: self._value(theta, members),
            self._start,
            products=iterations,
            tolerance=tolerance,
            factor=self._factor,
        )

    def _losses(self, theta: Tensor, instances: Instances) -> Tensor:
        return self._source.objective.loss(self._forward(theta, instances.features), instances.labels)

    def _weighted(self, outputs: Tensor) -> Tensor:
        """Losses of the training instances, times their weights where they have any."""
        losses, weights = self._source.objective.loss(outputs, self._train.labels), self._train.weights
        return losses if weights is None else losses * weights

    def _forward(self, theta: Tensor, features: Tensor) -> Tensor:
        named = dict(zip(self._source.layout.parameters, self._source.layout.unflatten(theta), strict=True))
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            outputs: Tensor = functional_call(self._source.objective.module, named, (features,))
        return outputs

    def _value(self, theta: Tensor, members: Tensor | None) -> Tensor:
        outputs = self._forward(theta, self._train.features)
        losses = self._weighted(outputs)
        linear = (self._slopes * (outputs - self._outputs)).sum()
        value: Tensor = (losses.sum() - linear) / len(self._train)
        value = value + (self._pulls * (theta - self._start).square()).sum() / 2
        if members is None:
            return value
        out = losses[members].sum()
        if self._source.objective.deletion == "mean":
            out = out + len(members) * (self._penalties * theta.square()).sum() / 2
        return value - out / len(self._train)


def _in_double(source: GradientSource, train: Instances) -> GradientSource:
    """The source on a float64 copy of its model; itself where the model or its device knows no float64."""
    try:
        module = copy.deepcopy(source.objective.module).double()
        found = replace(source, objective=replace(source.objective, module=module))
        with torch.no_grad():
            module(found.moved(train[:1]).features)
    except (RuntimeError, TypeError):
        return source
    return found
