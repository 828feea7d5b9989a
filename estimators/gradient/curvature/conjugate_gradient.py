"""Conjugate gradients on many right-hand sides at once (Hestenes and Stiefel 1952; Martens, ICML 2010)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.curvature.rows_of_vectors import dots, lengths, orthonormal
from estimators.gradient.layout import Layout

EARLY = 32
EARLY_FLOATS = 2**28
"""Early directions to which all later ones are made conjugate, and the numbers that these and their images may hold."""
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
            lambda v: torch.add(self._products(v), v, alpha=self.damping),
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
    Directions are made conjugate to the last ones, and again to the early ones: rounding brings back the largest
    eigenvectors, which were found first, and more of them at every step (Parlett and Scott, Mathematics of Computation
    1979). In float32 that costs a step or two.

    Raises:
        EstimatorError: the matrix shows a direction of negative curvature.
    """
    inverse = preconditioner or (lambda v: v)
    scales = lengths(right)
    solutions, residuals = torch.zeros_like(right), right.clone()
    directions = orthonormal(inverse(right))
    early: list[_Block] = []
    iterations = 0
    while len(directions) and iterations < max_iterations:
        moved = matrix(directions)
        iterations += 1
        met = dots(directions, moved, residuals)
        last = _Block(directions, moved, _factored(met[:, : len(moved)]))
        steps = last.shares(met[:, len(moved) :]).to(right.dtype)
        solutions.addmm_(steps, directions)
        residuals.addmm_(steps, moved, alpha=-1)
        alive = lengths(residuals) > tolerance * scales
        if not bool(alive.any()):
            break
        better = inverse(residuals if bool(alive.all()) else residuals[alive])
        directions = orthonormal(_conjugated(better, [*early, last]))
        if _to_be_kept(early, last):
            early.append(last)
    return Solution(solutions, _checked(matrix, right, solutions, residuals), iterations)


@dataclass(frozen=True, slots=True)
class _Block:
    """Directions [m, p], the matrix times them, and the Cholesky factor of their energies [m, m]."""

    directions: Tensor
    moved: Tensor
    factor: Tensor

    def shares(self, met: Tensor) -> Tensor:
        """How much of the directions takes vectors to 0 that meet them in met [m, k], [k, m] float64."""
        found: Tensor = torch.cholesky_solve(met, self.factor)
        return found.T


def _to_be_kept(early: list[_Block], last: _Block) -> bool:
    """Whether a further block still counts as early: the first one, and some more where they are small."""
    count = sum(len(block.moved) for block in (*early, last))
    return (not early or count <= EARLY) and 2 * count * last.moved.shape[1] <= EARLY_FLOATS


def _conjugated(vectors: Tensor, blocks: list[_Block]) -> Tensor:
    """Vectors [k, p] less their parts along blocks that are conjugate to each other."""
    met = dots(vectors, *(block.moved for block in blocks))
    found, at = vectors, 0
    for block in blocks:
        shares = block.shares(met[:, at : at + len(block.moved)].T)
        found, at = torch.addmm(found, shares.to(vectors.dtype), block.directions, alpha=-1), at + len(block.moved)
    return found


def _checked(matrix: LinearMap, right: Tensor, solutions: Tensor, residuals: Tensor) -> Tensor:
    """Relative residuals [k] float64 at most: those carried along, and how far those drifted from the true ones.

    One product tells the drift: that of a sum with random signs has the drifts' root sum of squares on average.
    """
    norms = lengths(right)
    scales = norms.clamp(min=torch.finfo(torch.float64).tiny)
    carried = lengths(residuals) / scales
    generator = torch.Generator().manual_seed(len(right))
    signs = 1.0 - 2.0 * torch.randint(2, (len(right),), generator=generator, dtype=torch.float64)
    mixed = (signs.to(right.device) / scales).where(norms > 0, 0.0)[None].to(right.dtype)
    left = mixed @ right - matrix(mixed @ solutions)
    return carried + lengths(left - mixed @ residuals)


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
