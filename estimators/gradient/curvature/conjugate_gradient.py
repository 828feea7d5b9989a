"""Conjugate gradients on many right-hand sides at once (Hestenes and Stiefel 1952; Martens, ICML 2010)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from estimators.gradient.curvature.conjugate_blocks import Block, are_early, conjugated
from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.curvature.rough import LinearMap, RoughMap
from estimators.gradient.curvature.rows_of_vectors import lengths, orthonormal
from estimators.gradient.layout import Layout

SHARE = 0.25
"""Part of the tolerance, and of the least energy, up to which rough products are trusted."""
PROGRESS = 0.95
"""Of the longest residual, what a rough step leaves at most, or the steps before were too rough."""


@dataclass(frozen=True, slots=True)
class Solution:
    """solutions: [k, p]; residuals: at least ||b - A x|| / ||b|| [k], see `_checked`; iterations: products with A."""

    solutions: Tensor
    residuals: Tensor
    iterations: int


class ConjugateGradient(Curvature):
    """Solves (C + penalty + damping) x = v to a relative residual. C must be positive definite with its damping.

    preconditioner: an approximate inverse (EK-FAC's, for one) that shortens the way and leaves the solution. rough: the
    products in a cheaper form, for steps that need not be exact. The largest residual met stands in facts["residual"];
    above `tolerance` it is a warning.
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
        rough: RoughMap | None = None,
    ) -> None:
        super().__init__(layout, damping, {"tolerance": tolerance})
        self._products = products
        self._tolerance = tolerance
        self._max_iterations = max_iterations
        self._preconditioner = preconditioner
        self._rough = None if rough is None else rough.plus(damping)

    def solve(self, vectors: Tensor) -> Tensor:
        """A^-1 v."""
        found = conjugate_gradient(
            lambda v: torch.add(self._products(v), v, alpha=self.damping),
            vectors,
            tolerance=self._tolerance,
            max_iterations=self._max_iterations,
            preconditioner=self._preconditioner,
            rough=self._rough,
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
    rough: RoughMap | None = None,
) -> Solution:
    """Solutions of matrix x = b for all b [k, p] in one Krylov space, which k right-hand sides reach in fewer steps.

    Block conjugate gradients (O'Leary, Linear Algebra and its Applications 1980) with directions made orthonormal, so
    that right-hand sides that depend on each other do no harm; one that has converged adds no more directions.
    Directions are made conjugate to the last ones, and again to the early ones: rounding brings back the largest
    eigenvectors, which were found first, and more of them at every step (Parlett and Scott, Mathematics of Computation
    1979). In float32 that costs a step or two.

    rough: stands in for the matrix where residuals are so small that its error is a small part of the tolerance (Bouras
    and Fraysse, SIAM Journal on Matrix Analysis 2005). Where the true residuals show that it was not, they replace
    those carried along, and the rest of the way is exact.

    Raises:
        EstimatorError: the matrix shows a direction of negative curvature.
    """
    search = _Search(
        solutions=torch.zeros_like(right),
        residuals=right.clone(),
        scales=lengths(right).clamp(min=torch.finfo(torch.float64).tiny),
        inverse=preconditioner or (lambda v: v),
        tolerance=tolerance,
        left=max_iterations,
        rough=rough,
    )
    search.run(matrix)
    residuals = _checked(matrix, right, search.solutions, search.residuals)
    if search.rough_steps and search.left and float(residuals.max()) > tolerance:
        search.restart(matrix, right)
        residuals = _checked(matrix, right, search.solutions, search.residuals)
    return Solution(search.solutions, residuals, max_iterations - search.left)


@dataclass(slots=True)
class _Search:
    """Block conjugate gradients on their way.

    scales: lengths [k] of the right-hand sides. left: products to take. largest: eigenvalue of energies met so far.
    """

    solutions: Tensor
    residuals: Tensor
    scales: Tensor
    inverse: LinearMap
    tolerance: float
    left: int
    rough: RoughMap | None
    rough_steps: int = 0
    largest: float = 0.0

    def run(self, matrix: LinearMap) -> None:
        """Steps until all residuals are short enough, no product is left, or rough ones do not help any more."""
        early: list[Block] = []
        last: Block | None = None
        longest = torch.inf
        while self.left:
            relative = lengths(self.residuals) / self.scales
            alive = relative > self.tolerance
            if not bool(alive.any()):
                break
            before, longest = longest, float(relative.max())
            if self.rough is not None and self.rough_steps and longest > PROGRESS * before:
                break
            better = self.inverse(self.residuals if bool(alive.all()) else self.residuals[alive])
            directions = orthonormal(better if last is None else conjugated(better, [*early, last]))
            if last is not None and are_early(early, last):
                early.append(last)
            last = self._block(matrix, directions, longest) if len(directions) else None
            if last is None:
                break
            self._step(last)

    def restart(self, matrix: LinearMap, right: Tensor) -> None:
        """Takes the true residuals for those carried along, and goes on exactly."""
        self.residuals, self.rough = right - matrix(self.solutions), None
        self.left -= 1
        self.run(matrix)

    def _block(self, matrix: LinearMap, directions: Tensor, longest: float) -> Block | None:
        """By a rough product where its error is a small part of the tolerance and of the least energy.

        None where it would have been rough again and energies are too small for that.
        """
        rough = self.rough
        if rough is not None and rough.error * longest <= SHARE * self.tolerance:
            found = Block.of(rough.times, directions, self.residuals)
            if rough.error * max(found.largest, self.largest) <= SHARE * found.least:
                self.rough_steps += 1
                return found
            if self.rough_steps:
                return None
            self.rough = None
        return Block.of(matrix, directions, self.residuals)

    def _step(self, block: Block) -> None:
        self.left -= 1
        self.largest = max(self.largest, block.largest)
        steps = block.shares(block.met).to(self.residuals.dtype)
        self.solutions.addmm_(steps, block.directions)
        self.residuals.addmm_(steps, block.moved, alpha=-1)


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
