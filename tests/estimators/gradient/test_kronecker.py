"""K-FAC and EK-FAC against their own definition written out densely, and their limits."""

import pytest
import torch
from gradient_models import case
from oracles import gradients as oracle
from torch import nn

from estimators.errors import EstimatorError
from estimators.gradient.fitting import fit_curvature
from estimators.gradient.objective import CrossEntropy, Instances, Objective, SquaredError
from estimators.gradient.record import CurvatureOptions
from estimators.gradient.source import gradient_source

EXACT = {"rtol": 1e-8, "atol": 1e-11}


def matrices(rows, dout, din):
    """Weight and bias gradients [n, p_l] as [n, dout, din + 1]."""
    weight = rows[:, : dout * din].reshape(-1, dout, din)
    return torch.cat([weight, rows[:, dout * din :, None]], dim=2)


def layer_curvature(gradients, inputs, slopes, *, corrected, damping):
    """A function V [k, dout, din] -> A^-1 V, from per-instance gradients and factors over positions."""
    n, positions = inputs.shape[:2]
    a = inputs.reshape(n * positions, -1)
    s = slopes.reshape(n * positions, -1)
    values_a, q_a = torch.linalg.eigh(a.T @ a / n)
    values_s, q_s = torch.linalg.eigh(s.T @ s / (n * positions))
    values = torch.outer(values_s, values_a)
    if corrected:
        values = (q_s.T @ gradients @ q_a).square().mean(dim=0)
    return lambda v: q_s @ ((q_s.T @ v @ q_a) / (values + damping)) @ q_a.T


@pytest.mark.parametrize("corrected", [True, False])
def test_one_linear_layer_is_the_definition(corrected):
    torch.manual_seed(0)
    module = nn.Linear(4, 3).double()
    train = Instances(torch.randn(40, 4, dtype=torch.float64), torch.randint(3, (40,)))
    source = gradient_source(Objective(module, CrossEntropy()), train, block_rows=9)
    rows = oracle.rows(source.objective, source.layout, train)
    slopes = torch.softmax(module(train.features), dim=1).detach() - torch.eye(3, dtype=torch.float64)[train.labels]
    ones = torch.cat([train.features, torch.ones(40, 1, dtype=torch.float64)], dim=1)
    gradients = matrices(rows, 3, 4)
    solve = layer_curvature(gradients, ones[:, None], slopes[:, None], corrected=corrected, damping=0.1)
    name = "ekfac" if corrected else "kfac"
    curvature = fit_curvature(name, source, train, CurvatureOptions(damping=0.1, labels="true"))
    torch.testing.assert_close(matrices(curvature.solve(rows), 3, 4), solve(gradients), **EXACT)
    rotated = curvature.rotate(source.rows(train))
    exact = torch.einsum("iab,jab->ij", gradients, solve(gradients))
    torch.testing.assert_close(rotated.times(curvature.solved(rotated)), exact, **EXACT)
    torch.testing.assert_close(curvature.energies(rotated), exact.diagonal(), **EXACT)
    torch.testing.assert_close(curvature.energies(rotated, power=2), solve(gradients).square().sum((1, 2)), **EXACT)


def test_ekfac_is_nearer_to_the_fisher_than_kfac():
    objective, train, _ = case("perceptron", 60)
    source = gradient_source(objective, train)
    rows = oracle.rows(objective, source.layout, train)
    distances = {}
    for name in ("kfac", "ekfac"):
        curvature = fit_curvature(name, source, train, CurvatureOptions(damping=0.0, labels="true"))
        eye = torch.eye(source.layout.size, dtype=torch.float64)
        matrix = curvature.apply(lambda mu: mu, eye)
        total = 0.0
        for layer in source.layout.layers:
            part = slice(layer.start, layer.stop)
            total += float((matrix[part, part] - rows[:, part].T @ rows[:, part] / len(rows)).square().sum())
        distances[name] = total
    assert distances["ekfac"] < distances["kfac"]


def test_independent_factors_make_kfac_and_ekfac_the_exact_fisher():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    slopes = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    features = inputs.repeat_interleave(5, dim=0)  # every input with every slope
    wanted = slopes.repeat(6, 1)
    module = nn.Linear(3, 2, bias=False).double()
    labels = (module(features).detach() - wanted).detach()  # residual = slope for half a squared error
    source = gradient_source(Objective(module, SquaredError(0.5)), Instances(features, labels))
    rows = oracle.rows(source.objective, source.layout, Instances(features, labels))
    fisher = rows.T @ rows / len(rows) + 0.1 * torch.eye(6, dtype=torch.float64)
    for name in ("kfac", "ekfac"):
        curvature = fit_curvature(
            name, source, Instances(features, labels), CurvatureOptions(damping=0.1, labels="true")
        )
        torch.testing.assert_close(curvature.solve(rows), rows @ torch.linalg.inv(fisher), **EXACT)


def test_convolutions_use_whole_instance_gradients():
    objective, train, _ = case("sequence", 20)
    source = gradient_source(objective, train, layers=("conv.*",))
    rows = oracle.rows(objective, source.layout, train)
    conv = objective.module.conv
    padded = nn.functional.pad(train.features, (1, 1))
    inputs = padded.unfold(2, 3, 2).transpose(1, 2).flatten(2)  # [n, T, channels times kernel]
    inputs = torch.cat([inputs, torch.ones(*inputs.shape[:2], 1, dtype=torch.float64)], dim=2)
    hidden = conv(train.features).detach().requires_grad_()
    lin = torch.tanh(objective.module.lin(torch.tanh(hidden).transpose(1, 2)))
    outputs = objective.module.head(lin.mean(dim=1))
    slopes = torch.autograd.grad(objective.loss(outputs, train.labels).sum(), hidden)[0].transpose(1, 2)
    gradients = matrices(rows, 4, 9)
    torch.testing.assert_close(slopes.transpose(1, 2) @ inputs, gradients, **EXACT)
    for name in ("kfac", "ekfac"):
        solve = layer_curvature(gradients, inputs, slopes, corrected=name == "ekfac", damping=0.05)
        curvature = fit_curvature(name, source, train, CurvatureOptions(damping=0.05, labels="true"))
        torch.testing.assert_close(matrices(curvature.solve(rows), 4, 9), solve(gradients), **EXACT)


def test_sampled_labels_give_the_true_fisher_in_the_mean_and_the_same_each_time():
    torch.manual_seed(0)
    module = nn.Linear(2, 3, bias=False).double()
    features = 3 * torch.randn(1, 2, dtype=torch.float64)
    one = Instances(features, module(features).argmin(dim=1))
    many = Instances(one.features.expand(4000, 2), one.labels.expand(4000))
    source = gradient_source(Objective(module, CrossEntropy()), one, block_rows=1000)
    curvature = fit_curvature("ekfac", source, many, CurvatureOptions(damping=0.1, seed=4))
    again = fit_curvature("ekfac", source, many, CurvatureOptions(damping=0.1, seed=4))
    exact = oracle.gauss_newton(source.objective, source.layout, one)
    trace = float(exact.trace())
    found = curvature.bases[0].eigenvalues
    assert float(found.sum()) == pytest.approx(trace, rel=0.05)
    assert torch.equal(found, again.bases[0].eigenvalues)
    empirical = fit_curvature("ekfac", source, many, CurvatureOptions(damping=0.1, labels="true"))
    assert abs(float(empirical.bases[0].eigenvalues.sum()) - trace) > 0.2 * trace


def test_labels_that_cannot_be_drawn_are_refused():
    objective, train, _ = case("perceptron")
    source = gradient_source(Objective(objective.module, lambda o, y: o.square().sum(1)), train)
    with pytest.raises(EstimatorError, match="labels: true"):
        fit_curvature("ekfac", source, train, CurvatureOptions())


def test_damping_is_a_tenth_of_the_mean_eigenvalue_unless_given():
    objective, train, _ = case("perceptron", 30)
    source = gradient_source(objective, train)
    curvature = fit_curvature("ekfac", source, train, CurvatureOptions(labels="true"))
    for damping, basis in zip(curvature.dampings, curvature.bases, strict=True):
        assert damping == pytest.approx(0.1 * float(basis.eigenvalues.mean()))
