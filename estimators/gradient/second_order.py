"""Groups to second order: how the parameters move when a group is left out.

Koh, Ang, Teo and Liang, NeurIPS 2019 (first order); Basu, You and Feizi, ICML 2020 (second order).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.gradient.curvature.conjugate_gradient import conjugate_gradient
from estimators.gradient.curvature.products import CurvatureKind, CurvatureProducts
from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.curvature.rough import LinearMap
from estimators.gradient.objective import Instances
from estimators.gradient.source import GradientSource

GroupForm = Literal["first", "neumann", "basu", "newton"]
"""first: d1 = A^-1 s_U / n. neumann: one more term, d1 + A^-1 H_U d1 / n. basu: the published form, weights moved onto
the rest. newton: (A - H_U / n) d = s_U / n, all terms. s_U and H_U hold the penalty's share under mean deletion."""


@dataclass(frozen=True, slots=True)
class GroupChange:
    """change: theta without the group - theta [p]. residual: of the Newton solve, 0 for the other forms."""

    change: Tensor
    residual: float


def group_change(
    source: GradientSource,
    train: Instances,
    members: Tensor,
    curvature: Curvature,
    *,
    form: GroupForm = "basu",
    matrix: CurvatureKind = "hessian",
    tolerance: float = 1e-8,
) -> GroupChange:
    """The parameters' move when `members` (positions [k]) are left out.

    Raises:
        EstimatorError: the group is empty or everything.
    """
    n, k = len(train), len(members)
    if not 0 < k < n:
        raise EstimatorError(f"a group of {k} of {n} instances cannot be left out")
    inside = train[members]
    mean_form = source.objective.deletion == "mean"
    penalties, theta = source.penalties(), source.objective.theta(source.layout)
    total = torch.zeros(1, source.layout.size, dtype=theta.dtype, device=theta.device)
    for rows in source.blocks(inside):
        total += rows.mix(torch.ones(1, len(rows), dtype=total.dtype, device=total.device))
    if mean_form:
        total += k * penalties * theta
    first = curvature.solve(total / n)
    if form == "first":
        return GroupChange(first[0], 0.0)
    own = CurvatureProducts(source, inside, matrix)

    def bent(vectors: Tensor) -> Tensor:
        """H_U v, the penalty's share in it under mean deletion only."""
        product = k * own(vectors)
        return product if mean_form else product - k * penalties * vectors

    if form == "newton":
        return _newton(source, train, bent, total / n, curvature, matrix, tolerance)
    again = curvature.solve(bent(first) / n)
    if form == "neumann":
        return GroupChange((first + again)[0], 0.0)
    q = k / n
    return GroupChange((((1 - 2 * q) * first + again) / (1 - q) ** 2)[0], 0.0)


def _newton(
    source: GradientSource,
    train: Instances,
    bent: LinearMap,
    right: Tensor,
    curvature: Curvature,
    matrix: CurvatureKind,
    tolerance: float,
) -> GroupChange:
    whole = CurvatureProducts(source, train, matrix)
    found = conjugate_gradient(
        lambda v: whole(v) + curvature.damping * v - bent(v) / len(train),
        right,
        tolerance=tolerance,
        max_iterations=10 * right.shape[1],
        preconditioner=curvature.solve,
    )
    return GroupChange(found.solutions[0], float(found.residuals.max()))


def group_influence(
    source: GradientSource, test: Instances, change: Tensor, *, exact_losses: bool = False
) -> FloatArray:
    """Influence [n_test] of a group from the parameters' move: g_j . change, or the losses at theta + change."""
    if not exact_losses:
        parts = tuple(part.contiguous() for part in source.layout.split(change[None]))
        linear: FloatArray = torch.cat([rows.times(parts)[:, 0] for rows in source.blocks(test)]).cpu().numpy()
        return linear
    before = _losses(source, test)
    named = source.objective.module.state_dict()
    moved = {
        name: named[name] + step
        for name, step in zip(source.layout.parameters, source.layout.unflatten(change), strict=True)
    }
    kept = {name: tensor.clone() for name, tensor in named.items()}
    try:
        source.load(kept | moved)
        after = _losses(source, test)
    finally:
        source.load(kept)
    found: FloatArray = (after - before).double().cpu().numpy()
    return found


def _losses(source: GradientSource, test: Instances) -> Tensor:
    with torch.no_grad():
        return torch.cat([source.objective.losses(source.moved(block)) for block in test.blocks(source.block_rows)])
