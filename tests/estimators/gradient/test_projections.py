"""Random images of gradients: unbiased, with the variance stated; TRAK and LoGra on them."""

import numpy as np
import pytest
import torch
from gradient_models import case
from oracles import gradients as oracle
from torch import nn

from estimators.errors import EstimatorError
from estimators.gradient.engine import BlockName, Engine
from estimators.gradient.objective import CrossEntropy, Instances, LogOdds, Objective
from estimators.gradient.projection import Projector
from estimators.gradient.record import CurvatureOptions, Estimator, Projection
from estimators.gradient.source import gradient_source
from estimators.gradient.trak import trak


@pytest.mark.parametrize("kind", ["dense", "product"])
@pytest.mark.parametrize("name", ["perceptron", "sequence", "untied text"])
def test_images_are_linear_and_unbiased(kind, name):
    objective, train, test = case(name, 3, 2)
    source = gradient_source(objective, train)
    rows, columns = source.rows(train), source.rows(test)
    exact = rows.dot(columns).numpy()
    draws = []
    for seed in range(300):
        image = Projector(Projection(kind=kind, dimensions=16, seed=seed), source.layout, torch.float64, source.device)
        draws.append(image(rows).dot(image(columns)).numpy())
    draws = np.array(draws)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - exact) < 4.5 * error).all()  # 6 cells: false alarm below 1e-4
    whole = source.projected(Projection(kind=kind, dimensions=16, seed=1))
    torch.testing.assert_close(whole.rows(train[1:]).dense(), whole.rows(train).dense()[1:], rtol=1e-10, atol=1e-12)


def test_the_variance_of_a_dense_image_is_the_stated_one():
    objective, train, test = case("perceptron", 3, 2)
    source = gradient_source(objective, train)
    rows, columns = source.rows(train), source.rows(test)
    one, other = rows.dense(), columns.dense()
    stated = one.square().sum(1)[:, None] * other.square().sum(1) + (one @ other.T) ** 2
    stated -= 2 * one.square() @ other.square().T  # signs instead of normals take this off
    draws = []
    for seed in range(400):
        image = Projector(Projection(dimensions=8, seed=seed), source.layout, torch.float64, source.device)
        draws.append(image(rows).dot(image(columns)).numpy())
    ratio = np.array(draws).var(axis=0, ddof=1) / (stated.numpy() / 8)
    assert np.abs(ratio - 1).max() < 0.45  # 4.5 errors of a variance from 400 draws, heavy tails allowed for


def test_logra_with_full_factors_is_the_inverse_fisher_of_each_layer():
    objective, train, test = case("perceptron", 30, 5)
    source = gradient_source(objective, train)
    record = Estimator(
        name="logra",
        curvature="layer_fisher",
        options=CurvatureOptions(damping=0.2),
        projection=Projection(kind="factored", dimensions=1024),
    )
    values = Engine(record, source, train, test).values()
    rows, columns = (oracle.rows(objective, source.layout, each) for each in (train, test))
    exact = torch.zeros(30, 5, dtype=torch.float64)
    for a, b in zip(source.layout.split(rows), source.layout.split(columns), strict=True):
        fisher = a.T @ a / 30 + 0.2 * torch.eye(a.shape[1], dtype=torch.float64)
        exact += a @ torch.linalg.inv(fisher) @ b.T / 30
    np.testing.assert_allclose(values, exact.numpy(), rtol=1e-9, atol=1e-12)
    small = Estimator(name="logra", curvature="layer_fisher", projection=Projection(kind="factored", dimensions=9))
    engine = Engine(small, source, train, test)
    assert [layer.size for layer in engine.source.layout.layers] == [9, 9]
    assert np.corrcoef(engine.values().ravel(), exact.numpy().ravel())[0, 1] > 0.3


def logistic(n=40, n_test=6):
    torch.manual_seed(3)
    module = nn.Linear(4, 2).double()
    features = torch.randn(n + n_test, 4, dtype=torch.float64)
    labels = (features[:, 0] + 0.3 * torch.randn(n + n_test) > 0).long()
    everything = Instances(features, labels)
    return Objective(module, CrossEntropy()), everything[:n], everything[n:]


def test_trak_without_projection_is_the_closed_form_over_models():
    objective, train, test = logistic()
    source = gradient_source(objective, train)
    generator = torch.Generator().manual_seed(0)
    models = [
        {
            k: torch.randn(v.shape, generator=generator, dtype=torch.float64)
            for k, v in objective.module.state_dict().items()
        }
        for _ in range(3)
    ]
    product, doubt, slope = 0, 0, 0
    for model in models:
        objective.module.load_state_dict(model)
        lifted = Objective(objective.module, LogOdds())
        phi, phi_test = (oracle.rows(lifted, source.layout, each) for each in (train, test))
        p, p_test = (
            torch.softmax(objective.module(each.features), 1).gather(1, each.labels[:, None])[:, 0].detach()
            for each in (train, test)
        )
        gram = phi.T @ phi + 0.5 * torch.eye(phi.shape[1], dtype=torch.float64)
        product = product + phi @ torch.linalg.inv(gram) @ phi_test.T / 3
        doubt, slope = doubt + (1 - p) / 3, slope + (1 - p_test) / 3
    exact = (product * doubt[:, None]).numpy()
    np.testing.assert_allclose(trak(source, train, test, models, damping=0.5), exact, rtol=1e-9, atol=1e-13)
    loss = trak(source, train, test, models, damping=0.5, output="loss")
    np.testing.assert_allclose(loss, exact * slope.numpy(), rtol=1e-9, atol=1e-13)
    with pytest.raises(EstimatorError, match=r"Gram matrix \[10, 10\] is singular: give a damping"):
        trak(source, train, test, models)  # two logits: shifting both moves nothing
    projected = trak(source, train, test, models, projection=Projection(dimensions=4, seed=2), damping=1e-6)
    assert np.isfinite(projected).all()
    assert projected.std() > 0


@pytest.mark.parametrize("kind", ["dense", "product"])
def test_errors_over_projections_are_those_of_many_projections(kind):
    objective, train, test = case("perceptron", 8, 5)
    source = gradient_source(objective, train)
    exact = (source.rows(train).dot(source.rows(test))).numpy()
    scores, variances, of_mean = [], [], []
    for seed in range(300):
        record = Estimator(name="x", weights="rate", projection=Projection(kind=kind, dimensions=40, seed=seed))
        block = Engine(record, source, train, test).projected_block(BlockName(0, 0, 0))
        for kept, part in zip((scores, variances, of_mean), block, strict=True):
            kept.append(part)
    means = np.stack(scores)
    spread = means.var(axis=0, ddof=1)
    # the variance of 300 draws has a relative error of sqrt(2 / 300); 5 of them on 48 cells: a false alarm in 10^4
    assert np.abs(np.stack(variances).mean(axis=0) / spread - 1).max() < 5 * (2 / 300) ** 0.5
    spread_of_mean = means.mean(axis=2).var(axis=0, ddof=1)
    assert np.abs(np.stack(of_mean).mean(axis=0) / spread_of_mean - 1).max() < 5 * (2 / 300) ** 0.5
    assert (np.abs(means.mean(axis=0) - exact) < 5 * np.sqrt(spread / 300)).all()
    factored = Estimator(name="x", weights="rate", projection=Projection(kind="factored", dimensions=4))
    with pytest.raises(EstimatorError, match="no error over projections"):
        Engine(factored, source, train, test).projected_block(BlockName(0, 0, 0))
