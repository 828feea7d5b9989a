"""Blocks of directions that are conjugate: what block conjugate gradients keep of a step, and how they turn from it."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.rough import LinearMap
from estimators.gradient.curvature.rows_of_vectors import dots

EARLY = 32
EARLY_FLOATS = 2**28
"""Early directions to which all later ones are made conjugate, and the numbers that these and their images may hold."""


@dataclass(frozen=True, slots=True)
class Block:
    """Directions [m, p], the matrix times them, and their energies [m, m], of the least and largest eigenvalue.

    met: the directions' inner products with the residuals [m, k], float64 like the energies.
    """

    directions: Tensor
    moved: Tensor
    energies: Tensor
    least: float
    largest: float
    met: Tensor

    @classmethod
    def of(cls, matrix: LinearMap, directions: Tensor, residuals: Tensor) -> Self:
        """By one product."""
        moved = matrix(directions)
        found = dots(directions, moved, residuals)
        energies = found[:, : len(moved)]
        values = torch.linalg.eigvalsh(energies)
        return cls(directions, moved, energies, float(values[0]), float(values[-1]), found[:, len(moved) :])

    def shares(self, met: Tensor) -> Tensor:
        """How much of the directions takes vectors to 0 that meet them in met [m, k], [k, m] float64.

        Raises:
            EstimatorError: the matrix shows a direction of negative curvature.
        """
        if self.least <= 0:
            raise EstimatorError(
                "conjugate gradients met a direction of negative curvature: raise the damping above "
                f"{-self.least:.3g}, or take gauss_newton"
            )
        found: Tensor = torch.cholesky_solve(met, torch.linalg.cholesky(self.energies))
        return found.T


def conjugated(vectors: Tensor, blocks: list[Block]) -> Tensor:
    """Vectors [k, p] less their parts along blocks that are conjugate to each other."""
    met = dots(vectors, *(block.moved for block in blocks))
    found, at = vectors, 0
    for block in blocks:
        shares = block.shares(met[:, at : at + len(block.moved)].T)
        found, at = torch.addmm(found, shares.to(vectors.dtype), block.directions, alpha=-1), at + len(block.moved)
    return found


def are_early(blocks: list[Block], last: Block) -> bool:
    """Whether the last block still counts as an early one: the first does, and some more where they are small."""
    count = sum(len(block.moved) for block in (*blocks, last))
    return (not blocks or count <= EARLY) and 2 * count * last.moved.shape[1] <= EARLY_FLOATS
