"""Influence by differentiating the run: the same derivative backwards (one pass a test) or forwards (one an instance).

    I[i, j] = - d L_j(theta_T) / d w_i,   w_i the weight of instance i in every batch that holds it, batches frozen

Backwards is SGD-Influence (Hara, Nitanda and Maehara, NeurIPS 2019), carried through momentum and Adam; forwards is
HyDRA (Chen, Li, Yu, Wu and Miao, AAAI 2021; Hammoudeh and Lowd 2024, equations 57 to 79, without the term in eps_i of
79, which vanishes where the derivative is taken). Backwards costs n_test passes over the run whatever n is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import jacrev, vjp, vmap

from estimators.arrays import FloatArray
from estimators.gradient.objective import Instances
from estimators.gradient.unroll.forwards import pushed
from estimators.gradient.unroll.run import Run
from estimators.gradient.unroll.steps import Step

FLOATS = 2**27


@dataclass(frozen=True, slots=True)
class Unrolled:
    """Influence, and how stable the run was.

    values: [n, n_test] float64, positive = lowers the loss. growth: the largest norm that an adjoint (backwards) or a
    hypergradient (forwards) reached over its first one: a chaotic run's explodes, and its values say little.
    """

    values: FloatArray
    growth: float


def sgd_influence(run: Run, test: Instances) -> Unrolled:
    """Backwards. Memory: p floats and the optimiser's moments for each test instance, taken in columns that fit.

    Raises EstimatorError where a step does not replay.
    """
    size = sum(each.numel() for each in run.final.values()) * (1 + len(run.moments(0)) // len(run.final))
    step = max(1, FLOATS // size)
    parts = [_backwards(run, test[start : start + step]) for start in range(0, len(test), step)]
    return Unrolled(np.concatenate([part.values for part in parts], axis=1), max(part.growth for part in parts))


def _backwards(run: Run, test: Instances) -> Unrolled:
    def test_losses(parameters: dict[str, Tensor]) -> Tensor:
        return run.test_losses(test, parameters)

    adjoint = jacrev(test_losses)(dict(run.final))
    state = {name: each.new_zeros(len(test), *each.shape) for name, each in run.moments(len(run.steps) - 1).items()}
    values = np.zeros((len(run.train), len(test)))
    begun = largest = _largest(adjoint)
    for at in run.backwards():
        reached, pull = vjp(run.step(at), run.parameters(at), run.moments(at), run.ones(at))[:2]
        run.check(at, reached[0])
        adjoint, state, weights = vmap(pull)((adjoint, state))
        rows = run.batch(at)[0].cpu().numpy()
        np.subtract.at(values, rows, weights.T.double().cpu().numpy())
        largest = max(largest, _largest(adjoint))
    return Unrolled(values, largest / begun if begun else 0.0)


def hydra(run: Run, test: Instances, rows: Tensor | None = None) -> Unrolled:
    """Forwards, for the training instances at positions `rows` (None: all): memory p floats and moments for each.

    Values [len(rows), n_test]. Raises EstimatorError where a step does not replay.
    """
    chosen = torch.arange(len(run.train)) if rows is None else rows
    moved = {name: each.new_zeros(len(chosen), *each.shape) for name, each in run.final.items()}
    state = {name: each.new_zeros(len(chosen), *each.shape) for name, each in run.moments(0).items()}
    sizes = []
    for at in range(len(run.steps)):
        batch, here, ones = run.batch(at)[0], run.step(at), run.ones(at)
        point = (run.parameters(at), run.moments(at), ones)
        inside = (chosen[:, None] == batch.cpu()[None, :]).to(ones)

        def push(*tangents: Any, here: Step = here, point: tuple[Any, ...] = point) -> Any:
            return pushed(here, point, tangents)[1]

        run.check(at, here(*point)[0])
        moved, state = vmap(push)(moved, state, inside)
        sizes.append(_largest(moved))
    gradients = jacrev(lambda parameters: run.test_losses(test, parameters))(dict(run.final))
    values = -sum(moved[name].flatten(1).double() @ gradients[name].flatten(1).double().T for name in moved)
    first = next((size for size in sizes if size > 0.0), 1.0)
    return Unrolled(values.cpu().numpy(), max(sizes) / first)


def _largest(tensors: Mapping[str, Tensor]) -> float:
    squares = torch.stack([each.flatten(1).double().square().sum(dim=1) for each in tensors.values()])
    return float(squares.sum(dim=0).max().sqrt())


def effective_rates(rates: FloatArray, *, momentum: float, penalty: float) -> FloatArray:
    """How far a unit gradient at step t has moved theta_T, [T]: what HyDRA's fast form multiplies (H taken as 0).

    The scalar run of the recursion v <- mu v + lam h + g, h <- h - eta v (Hammoudeh and Lowd 2024, equation 80, with
    momentum). Without momentum and penalty it is the rate itself, and fast HyDRA is TracIn with the last test gradient.
    """
    effective, u, m = np.zeros(len(rates)), 1.0, 0.0
    for t in reversed(range(len(rates))):
        m -= rates[t] * u
        effective[t] = -m
        u += penalty * m
        m *= momentum
    return effective
