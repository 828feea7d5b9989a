"""Every solver against an explicit inverse in float64, and what each says of itself."""

import pytest
import torch
from gradient_models import case
from oracles import gradients as oracle

from estimators.errors import EstimatorError
from estimators.gradient.curvature.conjugate_gradient import conjugate_gradient
from estimators.gradient.curvature.dense import dense_matrix
from estimators.gradient.curvature.products import CurvatureProducts
from estimators.gradient.curvature.protocol import vectors_as_rows
from estimators.gradient.fitting import fit_curvature
from estimators.gradient.record import CurvatureOptions
from estimators.gradient.source import GradientSource, gradient_source

DAMPING = 0.3
EXACT = {"rtol": 1e-8, "atol": 1e-10}


def material(name="perceptron", n=30, penalty=0.02):
    objective, train, test = case(name, n, penalty=penalty)
    return gradient_source(objective, train, block_rows=7), train, test


def explicit(source: GradientSource, train, kind) -> torch.Tensor:
    if kind == "hessian":
        return oracle.hessian(source.objective, source.layout, train)
    penalty = torch.diag(source.objective.penalties(source.layout))
    if kind == "gauss_newton":
        return oracle.gauss_newton(source.objective, source.layout, train) + penalty
    rows = oracle.rows(source.objective, source.layout, train)
    return rows.T @ rows / len(train) + penalty


@pytest.mark.parametrize("name", ["perceptron", "convolutional", "sequence", "untied text"])
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton", "fisher"])
def test_products_are_those_of_the_matrix(name, kind):
    source, train, _ = material(name, n=9)
    exact = explicit(source, train, kind)
    vectors = torch.randn(3, source.layout.size, dtype=torch.float64)
    kept, made_again = CurvatureProducts(source, train, kind), CurvatureProducts(source, train, kind, graph_bytes=0)
    torch.testing.assert_close(kept(vectors), vectors @ exact, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(made_again(vectors[:1]), vectors[:1] @ exact, rtol=1e-9, atol=1e-10)


def inverse(source, train, kind, damping=DAMPING):
    matrix = explicit(source, train, kind)
    return torch.linalg.inv(matrix + damping * torch.eye(len(matrix), dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("exact", "gauss_newton", {}),
        ("conjugate_gradient", "gauss_newton", {"tolerance": 1e-12}),
        ("conjugate_gradient", "fisher", {"tolerance": 1e-12, "preconditioned": False}),
        ("nystroem", "fisher", {"rank": 100}),
        ("lanczos", "gauss_newton", {"rank": 100, "iterations": 100}),
    ],
)
def test_solvers_give_the_damped_inverse(name, kind, options):
    source, train, test = material()
    curvature = fit_curvature(name, source, train, CurvatureOptions(damping=DAMPING, matrix=kind, **options))
    exact = inverse(source, train, kind)
    vectors = oracle.rows(source.objective, source.layout, test)
    if name != "lanczos":  # which drops what its Krylov space does not hold
        torch.testing.assert_close(curvature.solve(vectors), vectors @ exact, **EXACT)
    rotated, rows = curvature.rotate(source.rows(train)), oracle.rows(source.objective, source.layout, train)
    scores = rotated.times(curvature.solved(curvature.rotate(source.rows(test))))
    torch.testing.assert_close(scores, rows @ exact @ vectors.T, **EXACT)
    torch.testing.assert_close(curvature.energies(rotated), (rows @ exact * rows).sum(1), **EXACT)
    torch.testing.assert_close(curvature.energies(rotated, power=2), (rows @ exact).square().sum(1), **EXACT)
    assert curvature.facts["damping"] == DAMPING
    assert curvature.facts.get("residual", 0.0) < 1e-9


def test_exact_takes_a_hessian_that_is_positive_with_its_damping_as_it_is():
    source, train, test = material()
    smallest = float(torch.linalg.eigvalsh(explicit(source, train, "hessian")).min())
    damping = 0.05 - min(smallest, 0.0)
    curvature = fit_curvature("exact", source, train, CurvatureOptions(damping=damping))
    vectors = oracle.rows(source.objective, source.layout, test)
    torch.testing.assert_close(curvature.solve(vectors), vectors @ inverse(source, train, "hessian", damping), **EXACT)
    assert curvature.facts["eigenvalues clipped"] == 0
    assert curvature.facts["smallest eigenvalue"] == pytest.approx(smallest, abs=1e-12)


def test_an_indefinite_hessian_is_clipped_and_conjugate_gradients_refuse_it_naming_the_damping():
    source, train, test = material(penalty=0.0)
    values, vectors = torch.linalg.eigh(explicit(source, train, "hessian"))
    assert values.min() < -1e-4  # or the test shows nothing
    damping = float(-values.min()) / 2
    curvature = fit_curvature("exact", source, train, CurvatureOptions(damping=damping))
    assert curvature.facts["eigenvalues clipped"] > 0
    right = oracle.rows(source.objective, source.layout, test)
    clipped = vectors @ torch.diag(1 / (values.clamp(min=0) + damping)) @ vectors.T
    torch.testing.assert_close(curvature.solve(right), right @ clipped, **EXACT)
    cg = fit_curvature("conjugate_gradient", source, train, CurvatureOptions(damping=damping, preconditioned=False))
    with pytest.raises(EstimatorError, match="negative curvature: raise the damping above"):
        cg.solve(vectors[:, :1].T.contiguous())


def test_woodbury_is_the_inverse_fisher_exactly():
    source, train, test = material()
    curvature = fit_curvature("woodbury", source, train, CurvatureOptions(damping=DAMPING))
    vectors = oracle.rows(source.objective, source.layout, test)
    torch.testing.assert_close(curvature.solve(vectors), vectors @ inverse(source, train, "fisher"), **EXACT)


def test_lissa_takes_its_damping_as_it_is():
    source, train, test = material(n=8)
    options = CurvatureOptions(damping=2.0, matrix="fisher", batch=None, scaling=4.0, depth=40)
    curvature = fit_curvature("lissa", source, train, options)
    vectors = oracle.rows(source.objective, source.layout, test)
    torch.testing.assert_close(curvature.solve(vectors), vectors @ inverse(source, train, "fisher", 2.0), **EXACT)
    assert curvature.facts["residual"] < 1e-8


def test_lissa_over_minibatches_is_near_and_says_how_near():
    source, train, test = material(n=12)
    options = CurvatureOptions(damping=DAMPING, matrix="fisher", batch=3, scaling=5.0, depth=30, repeats=4, seed=3)
    curvature = fit_curvature("lissa", source, train, options)
    vectors = oracle.rows(source.objective, source.layout, test)
    exact = vectors @ inverse(source, train, "fisher")
    error = (curvature.solve(vectors) - exact).norm(dim=1) / exact.norm(dim=1)
    assert 0 < curvature.facts["standard error"] < 0.2
    assert float(error.max()) < 4 * curvature.facts["standard error"]
    wild = CurvatureOptions(damping=DAMPING, matrix="fisher", batch=None, scaling=0.05, depth=200)
    with pytest.raises(EstimatorError, match="LiSSA diverged with scaling"):
        fit_curvature("lissa", source, train, wild).solve(vectors)


def test_lanczos_truncated_is_the_formula_on_the_largest_eigenpairs():
    source, train, test = material()
    values, vectors = torch.linalg.eigh(explicit(source, train, "hessian"))
    assert values.min() < 0  # a negative one keeps its sign
    order = values.abs().argsort(descending=True)[:8]
    truncated = vectors[:, order] @ torch.diag(1 / values[order]) @ vectors[:, order].T
    curvature = fit_curvature("lanczos", source, train, CurvatureOptions(rank=8, iterations=200))
    right = oracle.rows(source.objective, source.layout, test)
    torch.testing.assert_close(curvature.solve(right), right @ truncated, rtol=1e-6, atol=1e-8)


def test_lanczos_stops_where_the_space_is_exhausted():
    source, train, _ = material(n=3, penalty=0.0)
    options = CurvatureOptions(rank=50, iterations=200, matrix="fisher")
    curvature = fit_curvature("lanczos", source, train, options)
    assert curvature.facts["rank"] <= 3
    assert curvature.facts["iterations"] <= 5


@pytest.mark.parametrize("name", ["nystroem", "woodbury"])
def test_solvers_that_need_damping_say_so(name):
    source, train, _ = material(penalty=0.0)
    with pytest.raises(EstimatorError, match="needs a damping above 0"):
        fit_curvature(name, source, train, CurvatureOptions(damping=0.0, matrix="fisher"))


def test_the_exact_curvature_of_a_large_model_is_refused_with_its_size():
    objective, train, _ = case("perceptron")
    source = gradient_source(objective, train)
    products = CurvatureProducts(source, train)
    assert dense_matrix(products).shape == (39, 39)
    with pytest.raises(EstimatorError, match="no curvature 'hessian'; there are identity"):
        fit_curvature("hessian", source, train, CurvatureOptions())  # type: ignore[arg-type]


def test_datainf_is_the_mean_of_explicit_inverses():
    source, train, test = material(penalty=0.0)
    curvature = fit_curvature("datainf", source, train, CurvatureOptions(damping=DAMPING))
    rows, right = (oracle.rows(source.objective, source.layout, each) for each in (train, test))
    expected = []
    for part, vectors in zip(source.layout.split(rows), source.layout.split(right), strict=True):
        eye = DAMPING * torch.eye(part.shape[1], dtype=torch.float64)
        mean = torch.stack([torch.linalg.inv(torch.outer(g, g) + eye) for g in part]).mean(dim=0)
        expected.append(vectors @ mean)
    torch.testing.assert_close(curvature.solve(right), torch.cat(expected, dim=1), **EXACT)
    automatic = fit_curvature("datainf", source, train, CurvatureOptions())
    shares = [0.1 * float(part.square().mean()) for part in source.layout.split(rows)]
    assert automatic.facts["damping"] == pytest.approx(sum(shares) / len(shares))


def test_vectors_rotate_like_gradients():
    source, train, _ = material("convolutional", n=12, penalty=0.0)
    curvature = fit_curvature("ekfac", source, train, CurvatureOptions(labels="true"))
    rows = source.rows(train)
    dense = vectors_as_rows(source.layout, rows.dense())
    torch.testing.assert_close(curvature.rotate(rows).dense(), curvature.rotate(dense).dense(), **EXACT)


def spread_matrix(size: int = 120) -> torch.Tensor:
    """Eigenvalues from 1 to 1,000, a few of them far out."""
    generator = torch.Generator().manual_seed(0)
    turns = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q
    values = torch.cat([torch.linspace(1, 2, size - 12), torch.linspace(20, 1000, 12)]).double()
    return (turns * values) @ turns.T


def test_right_hand_sides_share_one_krylov_space():
    matrix = spread_matrix()
    right = torch.randn(12, 120, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = conjugate_gradient(lambda v: v @ matrix, right, tolerance=1e-10, max_iterations=200)
    alone = [
        conjugate_gradient(lambda v: v @ matrix, each[None], tolerance=1e-10, max_iterations=200) for each in right
    ]
    assert together.iterations < 0.6 * min(each.iterations for each in alone)
    assert float(together.residuals.max()) <= 1.1e-10
    torch.testing.assert_close(together.solutions, torch.linalg.solve(matrix, right.T).T, **EXACT)
    torch.testing.assert_close(torch.cat([each.solutions for each in alone]), together.solutions, **EXACT)


def test_dependent_and_empty_right_hand_sides_do_no_harm():
    matrix = spread_matrix()
    right = torch.randn(4, 120, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    right = torch.cat([right, right[:2] + right[2:], 1e-9 * right[:1], torch.zeros(2, 120, dtype=torch.float64)])
    found = conjugate_gradient(lambda v: v @ matrix, right, tolerance=1e-10, max_iterations=200)
    exact = torch.linalg.solve(matrix, right.T).T
    assert bool(((found.solutions - exact).norm(dim=1) <= 1e-9 * exact.norm(dim=1)).all())
    assert float(found.residuals.max()) <= 1.1e-10
