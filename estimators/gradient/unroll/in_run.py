"""In-Run Data Shapley: the Shapley value of each step's own game, summed over the steps, and TracIn's ideal form.

At a step the players are the batch's instances, and a coalition S moves by its own gradients alone:
    U_j(S) = L_j(theta) - L_j(theta - (eta/b) sum_{i in S} g_i)
To second order in the step its Shapley value is (Wang, Mittal, Song and Jia, ICLR 2025, with the sign of a fall)
    phi_i = (eta/b) g_i g_j - (1/2) (eta/b)^2 g_i H_j sum_{k in B} g_k
Steps of plain gradient descent: with momentum or Adam it is an approximation, which takes no account of their state.
"""

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.gradient.objective import Instances
from estimators.gradient.unroll.forwards import pushed
from estimators.gradient.unroll.run import Run
from estimators.gradient.unroll.steps import Parameters, losses

FLOATS = 2**27


def in_run_shapley(run: Run, test: Instances, *, order: int = 2) -> FloatArray:
    """Values [n, n_test] float64, order 1 or 2. The run's steps need not be all: values are of those given."""
    if order not in {1, 2}:
        raise EstimatorError(f"In-Run Data Shapley of order {order}: it is 1 or 2")
    values = np.zeros((len(run.train), len(test)))
    size = sum(each.numel() for each in run.final.values())
    columns = max(1, FLOATS // (2 * size))
    for at in range(len(run.steps)):
        rows, batch = run.batch(at)
        here = run.parameters(at)
        own = _flat(_gradients(run, here, batch))
        factor = run.steps[at].rate / len(batch)
        for start in range(0, len(test), columns):
            part = test[start : start + columns]
            side = _side(run, here, part, own.sum(dim=0) if order == 2 else None, factor)
            np.add.at(values[:, start : start + len(part)], rows.cpu().numpy(), factor * _product(own, side))
    return values


def own_in_run_shapley(run: Run, *, order: int = 2) -> FloatArray:
    """Each training instance's value for its own loss [n] float64, the diagonal of the training set against itself."""
    if order not in {1, 2}:
        raise EstimatorError(f"In-Run Data Shapley of order {order}: it is 1 or 2")
    values = np.zeros(len(run.train))
    for at in range(len(run.steps)):
        rows, batch = run.batch(at)
        here, factor = run.parameters(at), run.steps[at].rate / len(batch)
        own = _flat(_gradients(run, here, batch))
        side = _side(run, here, batch, own.sum(dim=0) if order == 2 else None, factor, weighted=True)
        np.add.at(values, rows.cpu().numpy(), factor * (own.double() * side).sum(dim=1).detach().cpu().numpy())
    return values


def own_tracin_ideal(run: Run) -> FloatArray:
    """The fall of each training instance's own loss at the steps that took it alone, [n] float64."""
    values = np.zeros(len(run.train))
    with torch.no_grad():
        for at in range(len(run.steps)):
            rows, batch = run.batch(at)
            if len(rows) != 1:
                raise EstimatorError(f"ideal TracIn needs batches of one instance; step {at} has {len(rows)}")
            before, after = (run.test_losses(batch, run.parameters(step)).double() for step in (at, at + 1))
            values[int(rows[0])] += float(before - after)
    return values


def tracin_ideal(run: Run, test: Instances) -> FloatArray:
    """The fall of every test loss at each step, told to the one instance of its batch, [n, n_test] float64.

    Over all instances it sums to the fall over the run exactly (Pruthi et al., NeurIPS 2020; Hammoudeh and Lowd 2024,
    equation 49). Raises EstimatorError for batches of several instances, whose shares the ideal form does not define.
    """
    values = np.zeros((len(run.train), len(test)))
    with torch.no_grad():
        before = run.test_losses(test, run.parameters(0)).double()
        for at in range(len(run.steps)):
            rows = run.batch(at)[0]
            if len(rows) != 1:
                raise EstimatorError(f"ideal TracIn needs batches of one instance; step {at} has {len(rows)}")
            after = run.test_losses(test, run.parameters(at + 1)).double()
            values[int(rows[0])] += (before - after).cpu().numpy()
            before = after
    return values


def _one_loss(run: Run, parameters: Parameters, features: Tensor, labels: Tensor) -> Tensor:
    one = Instances(features.unsqueeze(0), labels.unsqueeze(0))
    return losses(run.objective, parameters, run.buffers, one)[0]


def _gradients(run: Run, here: Parameters, instances: Instances) -> Parameters:
    def one(features: Tensor, labels: Tensor) -> Parameters:
        found: Parameters = grad(lambda parameters: _one_loss(run, parameters, features, labels))(here)
        return found

    found: Parameters = vmap(one)(instances.features, instances.labels)
    if instances.weights is None:
        return found
    return {name: each * instances.weights.view(-1, *[1] * (each.ndim - 1)) for name, each in found.items()}


def _side(
    run: Run, here: Parameters, test: Instances, total: Tensor | None, factor: float, *, weighted: bool = False
) -> Tensor:
    """g_j - (1/2) (eta/b) H_j sum_k g_k for each test instance, [m, p]; total: the sum, None = first order.

    weighted: of training instances, whose losses count by their weights.
    """
    if total is None:
        return _flat(_gradients(run, here, test))
    direction = _unflattened(total, here)

    def one(features: Tensor, labels: Tensor) -> tuple[Parameters, Parameters]:
        gradient = grad(lambda parameters: _one_loss(run, parameters, features, labels))
        found: tuple[Parameters, Parameters] = pushed(gradient, (here,), (direction,))
        return found

    gradients, curved = vmap(one)(test.features, test.labels)
    side = _flat(gradients) - 0.5 * factor * _flat(curved)
    return side if test.weights is None or not weighted else side * test.weights[:, None]


def _flat(tensors: Parameters) -> Tensor:
    return torch.cat([each.flatten(1) for each in tensors.values()], dim=1)


def _unflattened(vector: Tensor, like: Parameters) -> Parameters:
    parts = torch.split(vector, [each.numel() for each in like.values()])
    return {name: part.view(each.shape) for part, (name, each) in zip(parts, like.items(), strict=True)}


def _product(own: Tensor, side: Tensor) -> FloatArray:
    found: FloatArray = (own.double() @ side.double().T).detach().cpu().numpy()
    return found
