"""TRAK over the models that a campaign kept: the closed form over those models, and better with more of them."""

import numpy as np
import pytest
import torch
from good_job import JOB, write_good_job

from estimators.gradient.source import gradient_source
from estimators.gradient.trak import trak
from orchestrator import load_job, open_result, run
from orchestrator.evaluation.evaluate import evaluate
from orchestrator.kept_models import kept_models
from orchestrator.results import stored_job
from workers.gradient_problem import gradient_problem
from workers.gradient_specs import trak_projection

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
    exact = trak(
        source, problem.train, problem.test, states, projection=trak_projection(spec), damping=0.1, output="loss"
    )
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
