"""TRAK over the models that a campaign kept: the closed form over those models, and better with more of them."""

import numpy as np
import pytest
import torch
from good_job import JOB, write_good_job

from estimators.gradient.objective import CrossEntropy, Instances, LogOdds, Objective
from estimators.gradient.record import Projection
from estimators.gradient.source import gradient_source
from estimators.gradient.trak import model_scores, trak
from orchestrator import load_job, open_result, run
from orchestrator.evaluation.evaluate import evaluate
from orchestrator.kept_models import kept_models
from orchestrator.results import stored_job
from workers.gradient_problem import gradient_problem
from workers.gradient_served import trak_projection

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear({width}, {hidden}), nn.Linear({hidden}, {classes})

    def forward(self, x):
        return self.last(nn.functional.relu(self.first(x)))
"""


def test_values_are_those_of_the_campaigns_first_models(tmp_path, tracking_database):
    path = write_good_job(tmp_path)
    (tmp_path / "net.py").write_text(NET.format(width=3, hidden=4, classes=2))
    learner = "{kind: torch, model: net.py:Net, epochs: 3, batch_size: 10, keep: true}"
    entry = "gradients:\n  - {method: trak, campaign: bernoulli, models: 5, dimensions: 6, damping: 0.1}\n"
    text = JOB.replace("{kind: logistic_regression, c: 1.0}", learner).replace("values: [downsampling, banzhaf]\n", "")
    path.write_text(text + entry)
    result = run(load_job(path))
    found = result.gradient("trak")
    assert any("5 models that campaign bernoulli kept" in note for note in found.notes)
    stored, spec = stored_job(result.job), result.job.gradients[0]
    problem = gradient_problem(stored.prepared.learner())
    states = [
        {name: torch.from_numpy(array.copy()) for name, array in state.items()}
        for _, state in kept_models(result.campaign("bernoulli"), draws=range(5))
    ]
    source = gradient_source(problem.objective, problem.train)
    projection = trak_projection(spec, 40, source.layout.size)
    exact = trak(source, problem.train, problem.test, states, projection=projection, damping=0.1, output="loss")
    np.testing.assert_allclose(found.influence.values, exact, rtol=1e-6, atol=1e-6 * np.abs(exact).max())


ENSEMBLE = """
name: ensemble
seed: 3
data: {train: train.npz, test: test.npz}
learner:
  {kind: torch, model: net.py:Net, epochs: 20, batch_size: 50, keep: true,
   optimizer: {name: sgd, lr: 0.1, momentum: 0.9}}
campaigns: [{design: uniform, fraction: 0.5, retrains: 500}]
cluster: {address: in_process}
gradients:
  - {method: trak, name: one, campaign: uniform, models: 1, dimensions: 128}
  - {method: trak, name: five, campaign: uniform, models: 5, dimensions: 128}
  - {method: trak, name: fifty, campaign: uniform, models: 50, dimensions: 128}
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_datamodeling_score_rises_with_the_number_of_models(tmp_path, tracking_database):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = (X[order] / 16).astype(np.float32), y[order].astype(np.int64)
    np.savez(tmp_path / "train.npz", X=X[:300], y=y[:300])
    np.savez(tmp_path / "test.npz", X=X[300:400], y=y[300:400])
    (tmp_path / "net.py").write_text(NET.format(width=64, hidden=24, classes=10))
    (tmp_path / "job.yaml").write_text(ENSEMBLE)
    run(load_job(tmp_path / "job.yaml"))
    found = evaluate(open_result(load_job(tmp_path / "job.yaml")))
    # differences listed exceed 3 errors of the paired difference
    certain = {(each.better, each.worse) for each in found.differences}
    assert {("five", "one"), ("fifty", "five")} <= certain


def test_a_bare_entry_works_on_few_instances_of_many_classes_and_says_what_it_took(tmp_path, tracking_database):
    rng = np.random.default_rng(0)
    path = write_good_job(tmp_path)
    y = np.arange(60) % 5
    X = rng.normal(size=(60, 4)).astype(np.float32) + np.eye(5, 4, dtype=np.float32)[y]
    np.savez(tmp_path / "train.npz", X=X[:40], y=y[:40])
    np.savez(tmp_path / "test.npz", X=X[40:], y=y[40:])
    text = JOB.replace("values: [downsampling, banzhaf]\n", "")
    path.write_text(text + "gradients: [{method: trak}, {method: trak, name: whole, dimensions: 40}]\n")
    result = run(load_job(path))
    bare, whole = result.gradient("trak"), result.gradient("whole")
    assert bare.facts["dimensions"] == 10
    assert whole.facts["damping"] > 0  # 25 parameters in 40 dimensions
    assert any("dimensions 10" in note for note in bare.notes)
    assert np.isfinite(bare.influence.values).all()
    assert np.isfinite(whole.influence.values).all()
    assert np.corrcoef(whole.influence.values.ravel(), bare.influence.values.ravel())[0, 1] > 0.2


def test_a_singular_gram_matrix_is_damped_by_a_thousandth_where_nothing_is_said():
    generator = torch.Generator().manual_seed(0)
    train, test = (
        Instances(torch.randn(rows, 4, generator=generator), torch.randint(3, (rows,), generator=generator))
        for rows in (80, 7)
    )
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 3)
    source = gradient_source(Objective(module, CrossEntropy()), train)
    models = [dict(module.state_dict())]
    odds = gradient_source(Objective(module, LogOdds()), train)
    phi = odds.rows(train).dense().double()
    mean = float(phi.square().sum()) / phi.shape[1]
    found = model_scores(source, train, test, models[0], 0, damping=None)
    assert found.damping == pytest.approx(1e-3 * mean, rel=1e-4)
    own = torch.linalg.solve(phi.T @ phi + 1e-3 * mean * torch.eye(15), odds.rows(test).dense().double().T)
    np.testing.assert_allclose(found.products, (phi @ own).numpy(), rtol=1e-3, atol=1e-4)
    few = Projection(kind="dense", dimensions=6, seed=1)  # of the 10 that the gradients span
    said, unsaid = (trak(source, train, test, models, projection=few, damping=each) for each in (0.0, None))
    np.testing.assert_array_equal(said, unsaid)
