"""Losses over noise draws (VAE-TracIn), anomaly scores, and the registry of methods."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from oracles import gradients as oracle
from torch import Tensor, nn

from estimators.errors import UnknownName
from estimators.gradient.engine import Engine
from estimators.gradient.fitting import FITS
from estimators.gradient.objective import Instances, Objective
from estimators.gradient.record import Estimator
from estimators.gradient.registry import GRADIENTS, gradient_method
from estimators.gradient.source import gradient_source


class Variational(nn.Module):
    """Outputs reconstruction, mean and log variance side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(4, 4)
        self.decode = nn.Linear(2, 4)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        mean, log_variance = self.encode(x).chunk(2, dim=1)
        return torch.cat([self.decode(mean + noise * (log_variance / 2).exp()), mean, log_variance], dim=1)


def negative_elbo(outputs: Tensor, labels: Tensor) -> Tensor:
    found, mean, log_variance = outputs[:, :4], outputs[:, 4:6], outputs[:, 6:]
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
    return 0.5 * (found - labels).square().sum(dim=1) + divergence


def material(draws=16):
    torch.manual_seed(0)
    module = Variational().double()
    x = torch.randn(9, 4, dtype=torch.float64)
    noise = torch.randn(2 * draws, 2, dtype=torch.float64)
    train, test = (Instances(part, part, None, noise[:draws]) for part in (x[:6], x[6:]))
    return Objective(module, negative_elbo), train, test, noise


def test_gradients_are_means_over_draws():
    objective, train, test, noise = material()
    source = gradient_source(objective, train)
    rows = 0
    for eps in noise[:16]:
        one = Instances(train.features, train.labels, None, eps[None])
        rows = rows + oracle.rows(objective, source.layout, one) / 16
    torch.testing.assert_close(source.rows(train).dense(), rows, rtol=1e-11, atol=1e-12)
    engine = Engine(Estimator(name="x", weights="rate"), source, train, test)
    columns = oracle.rows(objective, source.layout, test)
    np.testing.assert_allclose(engine.values(), (rows @ columns.T).numpy(), rtol=1e-10)
    anomaly = engine.groups(np.full((1, 6), 1 / 6))[0]  # TracInAD: the mean over a training sample
    np.testing.assert_allclose(anomaly, engine.values().mean(axis=0), rtol=1e-10)


def test_self_influence_may_take_independent_draws_on_its_two_sides():
    objective, train, _, noise = material()
    source = gradient_source(objective, train)
    engine = Engine(Estimator(name="x", weights="rate"), source, train, train)
    other = Instances(train.features, train.labels, None, noise[16:])
    one, two = (oracle.rows(objective, source.layout, each) for each in (train, other))
    np.testing.assert_allclose(engine.self_influence(mirror=other), (one * two).sum(dim=1).numpy(), rtol=1e-10)
    np.testing.assert_allclose(engine.self_influence(), one.square().sum(dim=1).numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", GRADIENTS)
def test_every_row_of_the_registry_is_complete(name):
    method = gradient_method(name)
    assert method.title
    assert method.formula
    assert method.paper
    if method.runner == "engine":
        assert method.estimator is not None
        assert method.estimator.name == name
        assert method.estimator.scale == method.scale
        assert method.estimator.curvature in FITS
    if method.runner == "python":
        module, _, attribute = method.function.rpartition(".")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute)


def test_unknown_methods_get_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean tracin_cp"):
        gradient_method("tracincp")


def test_the_registry_does_not_import_torch():
    script = "import sys, estimators.gradient.registry; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
