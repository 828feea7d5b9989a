"""Conjugate gradients on many right-hand sides at once (Hestenes and Stiefel 1952; Martens, ICML 2010)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.layout import Layout

DEPENDENT = {torch.float64: 1e-14, torch.float32: 1e-7}
"""Squared lengths, relative to the longest, below which a direction is what rounding left of dependent ones."""
TOGETHER = 4096
"""Numbers of a row in float64 at once: they stay in the cache."""
LinearMap = Callable[[Tensor], Tensor]
"""A symmetric matrix times vectors [k, p]."""


@dataclass(frozen=True, slots=True)
class Solution:
    """solutions: [k, p]; residuals: at least ||b - A x|| / ||b|| [k], see `_checked`; iterations: products with A."""

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
    """Solutions of matrix x = b for all b [k, p] in one Krylov space, which k right-hand sides reach in fewer steps.

    Block conjugate gradients (O'Leary, Linear Algebra and its Applications 1980) with directions made orthonormal, so
    that right-hand sides that depend on each other do no harm; one that has converged adds no more directions.

    Raises:
        EstimatorError: the matrix shows a direction of negative curvature.
    """
    inverse = preconditioner or (lambda v: v)
    scales = _lengths(right)
    solutions, residuals = torch.zeros_like(right), right.clone()
    directions = _orthonormal(inverse(right[scales > 0]))
    iterations = 0
    while len(directions) and iterations < max_iterations:
        moved = matrix(directions)
        iterations += 1
        energies = _factored(_dots(directions, moved))
        steps = torch.cholesky_solve(_dots(directions, residuals), energies).T.to(right.dtype)
        solutions.addmm_(steps, directions)
        residuals.addmm_(steps, moved, alpha=-1)
        alive = _lengths(residuals) > tolerance * scales
        if not bool(alive.any()):
            break
        better = inverse(residuals[alive])
        back = torch.cholesky_solve(_dots(moved, better), energies).T.to(right.dtype)
        directions = _orthonormal(torch.addmm(better, back, directions, alpha=-1))
    return Solution(solutions, _checked(matrix, right, solutions, residuals), iterations)


def _checked(matrix: LinearMap, right: Tensor, solutions: Tensor, residuals: Tensor) -> Tensor:
    """Relative residuals [k] float64 at most: those carried along, and how far those drifted from the true ones.

    One product tells the drift: that of a sum with random signs has the drifts' root sum of squares on average.
    """
    lengths = _lengths(right)
    scales = lengths.clamp(min=torch.finfo(torch.float64).tiny)
    carried = _lengths(residuals) / scales
    generator = torch.Generator().manual_seed(len(right))
    signs = 1.0 - 2.0 * torch.randint(2, (len(right),), generator=generator, dtype=torch.float64)
    mixed = (signs.to(right.device) / scales).where(lengths > 0, 0.0)[None].to(right.dtype)
    left = mixed @ right - matrix(mixed @ solutions)
    return carried + _lengths(left - mixed @ residuals)


def _factored(energies: Tensor) -> Tensor:
    """Cholesky factor of the energies of orthonormal directions, [m, m]."""
    lowest = float(torch.linalg.eigvalsh(energies)[0])
    if lowest <= 0:
        raise EstimatorError(
            "conjugate gradients met a direction of negative curvature: raise the damping above "
            f"{-lowest:.3g}, or take gauss_newton"
        )
    factor: Tensor = torch.linalg.cholesky(energies)
    return factor


def _orthonormal(vectors: Tensor) -> Tensor:
    """Orthonormal rows that span those of vectors [k, p], each taken at length 1; fewer where they depend."""
    lengths = _lengths(vectors)
    units: Tensor = vectors[lengths > 0] / lengths[lengths > 0, None].to(vectors.dtype)
    for _ in range(2):  # twice is enough
        if not len(units):
            break
        values, turns = torch.linalg.eigh(_dots(units, units))
        kept = values > DEPENDENT[vectors.dtype] * values[-1]
        units = (turns[:, kept] / values[kept].sqrt()).T.to(vectors.dtype) @ units
    return units


def _lengths(vectors: Tensor) -> Tensor:
    """Of rows, float64."""
    found: Tensor = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64)
    return found


def _dots(one: Tensor, other: Tensor) -> Tensor:
    """Inner products [k, m] float64 of rows. Sums in float32 cost half a step: residuals of 4e-5 instead of 2.4e-5."""
    total = torch.zeros(len(one), len(other), dtype=torch.float64, device=one.device)
    for at in range(0, one.shape[1], TOGETHER):
        total.addmm_(one[:, at : at + TOGETHER].double(), other[:, at : at + TOGETHER].double().T)
    return total
