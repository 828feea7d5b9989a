"""Residuals of everybody's solutions and eigenvectors by one code in float64, none of the project's own."""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional


def solution_residual(case: Any, solutions: Tensor, damping: float) -> float:
    """The largest ||g - (H + damping) x|| / ||g|| of solutions x [m, p] for the first m test gradients g.

    H is float64, g is float32 like everybody's: of a test that the model is sure of, g is 2e-4 from float64's, for its
    1 - p is left over from rounding, and no solver can mend that.
    """
    state, test = dict(case.module.named_parameters()), case.test

    def loss(at: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(case.module, at, (x[None],)), y[None])

    count = len(solutions)
    rows = vmap(grad(loss), in_dims=(None, 0, 0))(state, test.features[:count], test.labels[:count])
    right = torch.cat([each.flatten(1) for each in rows.values()], dim=1).detach().double()
    left = right - hessian_times(case, solutions) - damping * solutions.double()
    return float((left.norm(dim=1) / right.norm(dim=1)).max())


def pair_residual(case: Any, vectors: Tensor) -> float:
    """The largest ||H v - mu v|| / |mu|_max of the Ritz pairs in the span of vectors [k, p]."""
    basis = torch.linalg.qr(vectors.detach().double().T).Q.T
    moved = hessian_times(case, basis)
    values, turns = torch.linalg.eigh((basis @ moved.T + moved @ basis.T) / 2)
    left = turns.T @ moved - values[:, None] * (turns.T @ basis)
    return float(left.norm(dim=1).max() / values.abs().max())


def hessian_times(case: Any, vectors: Tensor) -> Tensor:
    """The Hessian of the mean training loss times vectors [k, p], float64, by forward over reverse differentiation."""
    state = _state(case)
    x, y = case.train.features.double(), case.train.labels

    def slope(at: dict[str, Tensor]) -> dict[str, Tensor]:
        return grad(lambda s: functional.cross_entropy(functional_call(case.module, s, (x,)), y))(at)

    sizes = [each.numel() for each in state.values()]
    found = []
    for vector in vectors.detach().double():
        parts = [part.view_as(each) for part, each in zip(vector.split(sizes), state.values(), strict=True)]
        moved = jvp(slope, (state,), (dict(zip(state, parts, strict=True)),))[1]
        found.append(torch.cat([each.flatten() for each in moved.values()]))
    return torch.stack(found)


def _state(case: Any) -> dict[str, Tensor]:
    return {name: each.detach().double() for name, each in copy.deepcopy(case.module).named_parameters()}
