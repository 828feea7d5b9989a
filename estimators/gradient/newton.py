"""Newton's method on functions of one vector: conjugate gradients on products with the Hessian, and a line search."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""theta [p] to a number, differentiable twice."""
Factor = Tensor
"""The lower Cholesky factor [p, p] of a matrix near the Hessian."""
DESCENT = 0.1
HALVINGS = 30
NOISE = 1e3
"""Roundings of the value within which it says nothing of a step; the slope along the step does."""


@dataclass(frozen=True, slots=True)
class _Point:
    """theta with its value and gradient, whose graph gives products with the Hessian."""

    theta: Tensor
    value: float
    gradient: Tensor

    @classmethod
    def at(cls, function: Function, theta: Tensor) -> "_Point":
        theta = theta.detach().clone().requires_grad_()
        value = function(theta)
        gradient = torch.autograd.grad(value, theta, create_graph=True)[0]
        return cls(theta, float(value.detach()), gradient)

    def product(self, direction: Tensor) -> Tensor:
        """H direction [p]."""
        product: Tensor = torch.autograd.grad(self.gradient, self.theta, direction, retain_graph=True)[0]
        return product


def factored(function: Function, theta: Tensor) -> Factor | None:
    """The factor of the Hessian at theta, by p products; None where it is not positive definite."""
    point = _Point.at(function, theta)
    hessian = torch.stack([point.product(column) for column in torch.eye(len(theta)).to(theta)])
    factor, failed = torch.linalg.cholesky_ex((hessian + hessian.T) / 2)
    found: Tensor = factor
    return None if int(failed) else found


def minimised(
    function: Function, start: Tensor, *, products: int, tolerance: float, factor: Factor | None = None
) -> tuple[Tensor, float]:
    """A minimum near `start` [p], and the gradient's norm there over that at the start.

    Nocedal and Wright (2006), algorithm 7.1: directions by conjugate gradients, preconditioned by `factor`, cut off at
    negative curvature and the coarser the larger the gradient. products: the most of them. Stops where the gradient has
    fallen to `tolerance` of the first, or no step along the direction goes down.
    """
    point = _Point.at(function, start)
    first = max(float(point.gradient.detach().norm()), 1e-30)
    while products > 0:
        left = float(point.gradient.detach().norm()) / first
        if left <= tolerance:
            break
        forcing = max(min(0.1, left), 0.5 * tolerance / left)
        direction, taken = _direction(point, factor, forcing, products)
        products -= taken
        further = _step(function, point, direction)
        if further is None:
            break
        point = further
    return point.theta.detach(), float(point.gradient.detach().norm()) / first


def _direction(point: _Point, factor: Factor | None, forcing: float, products: int) -> tuple[Tensor, int]:
    """-H^-1 gradient to a relative residual `forcing`, and how many products it took."""
    residual = -point.gradient.detach()
    target = forcing * float(residual.norm())
    found = torch.zeros_like(residual)
    image = _preconditioned(residual, factor)
    direction, size = image, float(residual @ image)
    for count in range(1, products + 1):
        product = point.product(direction)
        curvature = float(direction @ product)
        if not curvature > 0:
            return (direction if count == 1 else found), count
        length = size / curvature
        found, residual = found + length * direction, residual - length * product
        if float(residual.norm()) <= target:
            return found, count
        image = _preconditioned(residual, factor)
        before, size = size, float(residual @ image)
        direction = image + size / before * direction
    return found, products


def _preconditioned(vector: Tensor, factor: Factor | None) -> Tensor:
    if factor is None:
        return vector
    solved: Tensor = torch.cholesky_solve(vector[:, None], factor)[:, 0]
    return solved


def _step(function: Function, point: _Point, direction: Tensor) -> _Point | None:
    """The first of the whole step, its half, ... that goes down, by the value or, within its roundings, by the slope.

    Hager and Zhang (2005): the approximate condition of Wolfe. None where there is none.
    """
    slope = float(point.gradient.detach() @ direction)
    noise = NOISE * torch.finfo(direction.dtype).eps * max(abs(point.value), 1e-3)
    for halving in range(HALVINGS):
        length = 0.5**halving
        found = _Point.at(function, point.theta.detach() + length * direction)
        if found.value <= point.value + DESCENT * length * slope - noise:
            return found
        if found.value <= point.value + noise:
            along = float(found.gradient.detach() @ direction)
            if along <= (2 * DESCENT - 1) * slope:
                return found
    return None
