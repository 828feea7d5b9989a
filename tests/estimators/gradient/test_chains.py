"""Products of directions through chains of layers, against the explicit matrix and against autograd."""

import pytest
import torch
from oracles import gradients as oracle
from torch import nn

from estimators.gradient.curvature.conjugate_gradient import conjugate_gradient
from estimators.gradient.curvature.products import CurvatureProducts
from estimators.gradient.objective import CrossEntropy, Instances, LogOdds, Objective, SquaredError
from estimators.gradient.source import gradient_source

CHAINS = {
    "rectified": lambda: nn.Sequential(
        nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 3)
    ),
    "bent": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Dropout(0.3)), nn.Tanh(), nn.Linear(5, 3)
    ),
    "regression": lambda: nn.Sequential(nn.Linear(6, 3)),
}


def chained(name, *, loss=None, weights=False, n=23):
    """A source of the chain, its data with inputs that are zero for some classes, and for all."""
    torch.manual_seed(3)
    labels = torch.arange(n) % 3
    x = torch.randn(n, 6, dtype=torch.float64)
    x[labels == 0, 2:] = 0
    x[:, 5] = 0
    train = Instances(x, labels, torch.linspace(0.5, 1.5, n, dtype=torch.float64) if weights else None)
    loss = loss or CrossEntropy()
    if isinstance(loss, SquaredError):
        train = Instances(x, torch.randn(n, 3, dtype=torch.float64), train.weights)
    return gradient_source(Objective(CHAINS[name]().double(), loss, penalty=0.02), train), train


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize(("loss", "weights"), [(CrossEntropy(), True), (SquaredError(0.5), False)])
def test_products_of_a_chain_are_those_of_the_matrix(name, kind, loss, weights, monkeypatch):
    monkeypatch.setattr("estimators.gradient.curvature.chain.ROWS", 7)
    monkeypatch.setattr("estimators.gradient.curvature.chain.DIRECTIONS", 3)
    source, train = chained(name, loss=loss, weights=weights)
    exact = oracle.hessian(source.objective, source.layout, train)
    if kind == "gauss_newton":
        penalty = torch.diag(source.objective.penalties(source.layout))
        exact = oracle.gauss_newton(source.objective, source.layout, train) + penalty
    vectors = torch.randn(5, source.layout.size, dtype=torch.float64)
    for graph_bytes in (2**30, 0):
        products = CurvatureProducts(source, train, kind, graph_bytes=graph_bytes)
        assert products.chained
        for some in (vectors, vectors[:1]):
            torch.testing.assert_close(products(some), some @ exact, rtol=1e-9, atol=1e-10)


def test_what_is_no_chain_is_differentiated_by_autograd():
    class Own(nn.Linear):
        def forward(self, x):
            return super().forward(x).square()

    _, train = chained("regression")
    shared = nn.Linear(6, 6)
    modules = [
        nn.Sequential(Own(6, 3)),
        nn.Sequential(nn.Linear(6, 3), nn.Tanh()),
        nn.Sequential(shared, nn.Tanh(), shared),
        nn.Sequential(nn.Linear(6, 4), nn.Softmax(dim=1), nn.Linear(4, 3)),
    ]
    cases = [Objective(each.double(), CrossEntropy()) for each in modules]
    cases.append(Objective(nn.Sequential(nn.Linear(6, 3)).double(), LogOdds()))
    for objective in cases:
        assert not CurvatureProducts(gradient_source(objective, train), train).chained
    part = gradient_source(Objective(CHAINS["rectified"]().double(), CrossEntropy()), train, layers=("4.*",))
    products = CurvatureProducts(part, train)
    assert not products.chained
    vectors = torch.randn(2, part.layout.size, dtype=torch.float64)
    exact = oracle.hessian(part.objective, part.layout, train)
    torch.testing.assert_close(products(vectors), vectors @ exact, rtol=1e-9, atol=1e-10)


def test_residuals_that_are_told_are_not_below_the_true_ones():
    generator = torch.Generator().manual_seed(5)
    turns = torch.linalg.qr(torch.randn(80, 80, generator=generator, dtype=torch.float64)).Q
    matrix = ((turns * torch.logspace(0, 3, 80)) @ turns.T).float()
    right = torch.randn(6, 80, generator=generator)
    asked: list[int] = []

    def product(vectors):
        asked.append(len(vectors))
        return vectors @ matrix

    found = conjugate_gradient(product, right, tolerance=1e-7, max_iterations=60)
    left = right.double() - found.solutions.double() @ matrix.double()
    true = left.norm(dim=1) / right.double().norm(dim=1)
    assert float(true.max()) > 1e-6  # what float32 leaves, though the residuals carried along say 1e-7
    assert bool((found.residuals >= true / 2).all())
    assert asked[-1] == 1
