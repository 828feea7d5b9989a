"""Conjugate gradients in float32: as few steps as in float64, and orthonormal directions of rows that nearly depend."""

import pytest
import torch
from torch import Tensor

from estimators.gradient.curvature.conjugate_gradient import conjugate_gradient
from estimators.gradient.curvature.rows_of_vectors import dots, orthonormal

SIZE, COUNT = 600, 8


def matrix() -> Tensor:
    """Eigenvalues from 1 to 2, and a dozen far out, as curvatures have them."""
    generator = torch.Generator().manual_seed(0)
    turns = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)).Q
    values = torch.cat([torch.linspace(1, 2, SIZE - 12), torch.logspace(1, 3, 12)]).double()
    return (turns * values) @ turns.T


def right_hand_sides(exact: Tensor) -> Tensor:
    """Mostly in the outer eigenvectors, as gradients are."""
    drawn = torch.randn(COUNT, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return drawn @ exact


def true_residuals(exact: Tensor, right: Tensor, solutions: Tensor) -> Tensor:
    return (right.double() - solutions.double() @ exact).norm(dim=1) / right.double().norm(dim=1)


def test_float32_takes_no_more_steps_than_float64() -> None:
    exact = matrix().float().double()
    right = right_hand_sides(exact).float()
    for steps in (5, 6, 7):
        found = [
            conjugate_gradient(lambda v, m=m: v @ m, right.to(m.dtype), tolerance=1e-9, max_iterations=steps)
            for m in (exact, exact.float())
        ]
        wide, narrow = (true_residuals(exact, right, each.solutions).max() for each in found)
        assert narrow <= 1.1 * wide


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-3, 1e-6])
def test_directions_are_orthonormal_where_rows_nearly_depend(dtype: torch.dtype, apart: float) -> None:
    generator = torch.Generator().manual_seed(2)
    one, other = torch.randn(2, SIZE, generator=generator, dtype=torch.float64)
    rows = torch.stack([one, 1e-8 * (one + apart * other), 1e6 * other, torch.zeros(SIZE, dtype=torch.float64)])
    found = orthonormal(rows[:2].to(dtype))
    assert len(found) == (1 if dtype == torch.float32 and apart == 1e-6 else 2)
    eye = torch.eye(len(found), dtype=torch.float64)
    torch.testing.assert_close(dots(found), eye, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-11)
    whole = orthonormal(rows.to(dtype))
    assert len(whole) == 2
    basis = torch.linalg.qr(rows[[0, 2]].T).Q
    torch.testing.assert_close((whole.double() @ basis).square().sum(), torch.tensor(2.0).double(), rtol=1e-4, atol=0)
    assert len(orthonormal(torch.zeros(3, 5, dtype=dtype))) == 0


def test_no_right_hand_sides_and_those_of_length_zero_take_no_product() -> None:
    for right in (torch.zeros(0, 5), torch.zeros(2, 5)):
        found = conjugate_gradient(lambda v: 2 * v, right, tolerance=1e-6, max_iterations=9)
        assert found.iterations == 0
        assert torch.equal(found.solutions, right)
        assert bool((found.residuals == 0).all())
