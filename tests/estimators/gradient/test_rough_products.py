"""Products in bfloat16 within conjugate gradients: where they are taken, what they leave, and what mends them."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from estimators.gradient.curvature.conjugate_gradient import ConjugateGradient, Solution, conjugate_gradient
from estimators.gradient.curvature.products import CurvatureProducts
from estimators.gradient.curvature.rough import ROUGHNESS, RoughMap, bfloat16_is_fast
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.source import GradientSource, gradient_source

DAMPING, TOLERANCE = 1.0, 1e-5
COUNT = 40


def network() -> tuple[Objective, Instances]:
    """64-48-40-5 after some steps, and its data in three clusters; some inputs are zero throughout a block."""
    torch.manual_seed(0)
    labels = torch.arange(600) % 5
    features = (torch.randn(5, 64)[labels] + torch.randn(600, 64)).relu()
    features[:, :20] *= labels[:, None] > 1
    module = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 40), nn.Tanh(), nn.Linear(40, 5))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(features), labels).backward()
        optimizer.step()
    return Objective(module.eval(), CrossEntropy(), penalty=0.01), Instances(features, labels)


def products(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> tuple[CurvatureProducts, GradientSource]:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    objective, train = network()
    source = gradient_source(objective, train, dtype=dtype)
    return CurvatureProducts(source, train), source


def true_residuals(right: Tensor, found: Tensor) -> Tensor:
    objective, train = network()
    exact = CurvatureProducts(gradient_source(objective, train, dtype=torch.float64), train)
    left = right.double() - exact(found.double()) - DAMPING * found.double()
    return left.norm(dim=1) / right.double().norm(dim=1)


def test_rough_products_are_as_far_off_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, source = products(monkeypatch, torch.float32)
    rough = exact.rough
    assert rough is not None
    vectors = torch.randn(COUNT, exact.size, generator=torch.Generator().manual_seed(1))
    damped = exact(vectors) + DAMPING * vectors
    off = (rough.plus(DAMPING).times(vectors) - damped).norm(dim=1) / damped.norm(dim=1)
    assert 1e-5 < float(off.max()) < rough.error
    assert source.dtype == torch.float32


def test_the_last_steps_are_rough_and_the_solution_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, source = products(monkeypatch, torch.float32)
    rough = exact.rough
    assert rough is not None
    taken: list[int] = []

    def counted(vectors: Tensor) -> Tensor:
        taken.append(len(vectors))
        return rough.times(vectors)

    right = source.rows(exact.instances[:COUNT]).dense()
    options = {"damping": DAMPING, "tolerance": TOLERANCE}
    without = ConjugateGradient(source.layout, exact, **options)
    with_it = ConjugateGradient(source.layout, exact, rough=RoughMap(counted, rough.error), **options)
    true = true_residuals(right, with_it.solve(right))
    assert float(true.max()) <= TOLERANCE
    assert float(true_residuals(right, without.solve(right)).max()) <= TOLERANCE
    assert len(taken) >= 2
    assert with_it.facts["iterations"] <= without.facts["iterations"] + 1
    assert float(true.max()) / 2 <= with_it.facts["residual"] <= TOLERANCE


def test_only_float32_on_processors_that_have_them_is_rough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert products(monkeypatch, torch.float64)[0].rough is None
    assert products(monkeypatch, torch.float32)[0].rough is not None
    for capabilities in ({}, {"avx512_bf16": False, "avx512_f": True}):
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda found=capabilities: found)
        assert not bfloat16_is_fast(torch.device("cpu"), torch.float32)
        assert products_without(monkeypatch, capabilities).rough is None
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": True})
    assert bfloat16_is_fast(torch.device("cpu"), torch.float32)
    assert not bfloat16_is_fast(torch.device("cuda"), torch.float32)


def products_without(monkeypatch: pytest.MonkeyPatch, capabilities: Mapping[str, bool]) -> CurvatureProducts:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    objective, train = network()
    return CurvatureProducts(gradient_source(objective, train, dtype=torch.float32), train)


SIZE = 200


def spread(lowest: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """A matrix with eigenvalues from lowest to 4, an error a tenth as large, and right-hand sides [6, p]."""
    generator = torch.Generator().manual_seed(3)
    turns = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)).Q
    matrix = (turns * torch.logspace(0, 1, SIZE).double().sub(1).mul((4 - lowest) / 9).add(lowest)) @ turns.T
    error = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64) * (0.1 / SIZE**0.5)
    right = torch.randn(6, SIZE, generator=generator, dtype=torch.float64)
    return matrix.to(dtype), (error + error.T).to(dtype), right.to(dtype)


def solved_roughly(
    matrix: Tensor, error: Tensor, right: Tensor, limit: int = 200
) -> tuple[Solution, Tensor, list[str]]:
    """By products much rougher than they say; true residuals; which products were taken, one letter each."""
    taken: list[str] = []

    def product(name: str, by: Tensor) -> object:
        def times(vectors: Tensor) -> Tensor:
            taken.append(name)
            return vectors @ by

        return times

    rough = RoughMap(product("r", matrix + error), ROUGHNESS)  # type: ignore[arg-type]
    exact = product("e", matrix)
    found = conjugate_gradient(exact, right, tolerance=TOLERANCE, max_iterations=limit, rough=rough)  # type: ignore[arg-type]
    left = right.double() - found.solutions.double() @ matrix.double()
    return found, left.norm(dim=1) / right.double().norm(dim=1), taken


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_that_are_too_rough_are_found_out_and_mended(dtype: torch.dtype) -> None:
    found, true, taken = solved_roughly(*spread(0.5, dtype))
    assert float(true.max()) <= 1.1 * TOLERANCE
    assert float(found.residuals.max()) <= 1.2 * TOLERANCE
    last = len(taken) - taken[::-1].index("r")
    assert taken.count("r") >= 2
    assert len(taken[last:]) >= 3  # a check, the true residuals, the rest of the way, and another check
    assert set(taken[last:]) == {"e"}
    assert found.iterations == len(taken) - 2


def test_without_products_left_the_residuals_say_what_roughness_did() -> None:
    matrix, error, right = spread(0.5)
    steps = solved_roughly(matrix, error, right)[2].index("r") + 3
    found, true, taken = solved_roughly(matrix, error, right, limit=steps)
    assert "r" in taken
    assert found.iterations == steps
    assert float(true.max()) > TOLERANCE
    assert bool((found.residuals >= true / 2).all())


@pytest.mark.parametrize("lowest", [1e-2, 1e-3, 1e-4])
def test_nearly_singular_matrices_are_solved_though_products_are_too_rough(lowest: float) -> None:
    found, true, taken = solved_roughly(*spread(lowest), limit=600)
    assert taken.count("r") <= 10
    assert float(true.max()) <= 1.1 * TOLERANCE
    assert float(found.residuals.max()) <= 1.2 * TOLERANCE
