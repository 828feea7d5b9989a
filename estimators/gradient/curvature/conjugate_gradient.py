"""Conjugate gradients on many right-hand sides at once (Hestenes and Stiefel 1952; Martens, ICML 2010)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.layout import Layout

LinearMap = Callable[[Tensor], Tensor]
"""A symmetric matrix times vectors [k, p]."""


@dataclass(frozen=True, slots=True)
class Solution:
    """solutions: [k, p]; residuals: ||b - A x|| / ||b|| [k]; iterations: products with A."""

    solutions: Tensor
    residuals: Tensor
    iterations: int


class ConjugateGradient(Curvature):
    """Solves (C + penalty + damping) x = v to a relative residual. C must be positive definite with its damping.

    preconditioner: an approximate inverse (EK-FAC's, for one) that shortens the way and leaves the solution. The
    largest residual met stands in facts["residual"]; above `tolerance` it is a warning.
    """

    def __init__(
        self,
        layout: Layout,
        products: LinearMap,
        *,
        damping: float,
        tolerance: float = 1e-5,
        max_iterations: int = 1000,
        preconditioner: LinearMap | None = None,
    ) -> None:
        super().__init__(layout, damping, {"tolerance": tolerance})
        self._products = products
        self._tolerance = tolerance
        self._max_iterations = max_iterations
        self._preconditioner = preconditioner

    def solve(self, vectors: Tensor) -> Tensor:
        """A^-1 v."""
        found = conjugate_gradient(
            lambda v: self._products(v) + self.damping * v,
            vectors,
            tolerance=self._tolerance,
            max_iterations=self._max_iterations,
            preconditioner=self._preconditioner,
        )
        worst = float(found.residuals.max()) if len(vectors) else 0.0
        iterations = max(self.facts.get("iterations", 0.0), float(found.iterations))
        residual = max(self.facts.get("residual", 0.0), worst)
        self.facts = {**self.facts, "residual": residual, "iterations": iterations}
        return found.solutions


def conjugate_gradient(
    matrix: LinearMap,
    right: Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    preconditioner: LinearMap | None = None,
) -> Solution:
    """Solutions of matrix x = b for b [k, p], each column with its own steps and frozen once it has converged.

    Raises:
        EstimatorError: the matrix shows a direction of negative curvature.
    """
    inverse = preconditioner or (lambda v: v)
    solutions, residuals = torch.zeros_like(right), right.clone()
    scales = right.double().norm(dim=1)
    better = inverse(residuals)
    directions = better.clone()
    energy = _dots(residuals, better)
    alive = scales > 0
    iterations = 0
    while bool(alive.any()) and iterations < max_iterations:
        active = alive.nonzero()[:, 0]
        moved = matrix(directions[active])
        iterations += 1
        curvature = _dots(directions[active], moved)
        if bool((curvature <= 0).any()):
            raise EstimatorError(
                "conjugate gradients met a direction of negative curvature: raise the damping above "
                f"{float(-(curvature / _dots(directions[active], directions[active])).min()):.3g}, or take gauss_newton"
            )
        steps = (energy[active] / curvature).to(right.dtype)[:, None]
        solutions[active] += steps * directions[active]
        residuals[active] -= steps * moved
        better = inverse(residuals[active])
        fresh = _dots(residuals[active], better)
        ratio = (fresh / energy[active]).to(right.dtype)[:, None]
        directions[active] = better + ratio * directions[active]
        energy[active] = fresh
        alive[active] = residuals[active].double().norm(dim=1) > tolerance * scales[active]
    left = (right - matrix(solutions)).double().norm(dim=1) if iterations else torch.zeros_like(scales)
    return Solution(solutions, left / scales.clamp(min=torch.finfo(torch.float64).tiny), iterations)


def _dots(one: Tensor, other: Tensor) -> Tensor:
    return (one.double() * other).sum(dim=1)
