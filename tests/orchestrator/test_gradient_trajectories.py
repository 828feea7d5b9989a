"""Methods of a run in a job: recorded once, unrolled in blocks, judged by the retrains beside them."""

import numpy as np
import pytest
from good_job import JOB, write_good_job

import workers.gradient_unrolled
from estimators.gradient.unroll.influence import sgd_influence
from orchestrator import load_job, open_result, run
from orchestrator.cli import run_command
from orchestrator.errors import JobError
from orchestrator.evaluation.evaluate import evaluate
from orchestrator.gradients.identity import gradient_identity, gradient_store, run_identity
from orchestrator.results import stored_job
from workers.gradient_file import blocks_stored
from workers.gradient_problem import gradient_problem
from workers.recording import run_of
from workers.trajectory import read_trajectory, trajectory_stored

LEARNER = "{kind: torch, model: net.py:Net, epochs: 6, batch_size: 10, optimizer: {name: sgd, lr: 0.2, momentum: 0.5}}"
NET = """\
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x)
"""
METHODS = """\
gradients:
  - {method: sgd_influence, self_influence: true}
  - {method: hydra, self_influence: true}
  - {method: hydra_fast}
  - {method: in_run_shapley}
  - {method: source, curvature: exact, dtype: float64, segments: 2}
  - {method: source, name: own, curvature: exact, dtype: float64, segments: 2, gives: self}
  - {method: tracin_ad}
  - {method: tracin_cp, trajectory: every 2 epochs}
"""


@pytest.fixture(scope="module")
def job(template_database, tmp_path_factory):
    import shutil

    folder = tmp_path_factory.mktemp("runs")
    path = write_good_job(folder)
    shutil.copy(template_database, folder / "apportion.db")
    (folder / "net.py").write_text(NET)
    text = JOB.replace("{kind: logistic_regression, c: 1.0}", LEARNER).replace("values: [downsampling, banzhaf]\n", "")
    text = text.replace("retrains: 20}", "retrains: 200, replicates: 2}").replace("retrains: 30}", "retrains: 40}")
    path.write_text(text + METHODS)
    columns = workers.gradient_unrolled.COLUMNS
    workers.gradient_unrolled.COLUMNS = 4  # three blocks of 10 tests
    try:
        run(load_job(path))
    finally:
        workers.gradient_unrolled.COLUMNS = columns
    return load_job(path)


def test_values_are_those_of_the_recorded_run(job):
    stored = stored_job(job)
    store, names = gradient_store(stored.tracker, stored.parent), None
    names = store.names()
    every = trajectory_stored(names, run_identity("all", stored.prepared.fingerprints))
    few = trajectory_stored(names, run_identity("every 2 epochs", stored.prepared.fingerprints))
    assert sum(name.startswith("trajectory-") for name in names) == 3  # all, every epoch, every 2 epochs
    assert read_trajectory(few, store.get(few)).steps.tolist() == [0, 8, 16]
    problem = gradient_problem(stored.prepared.learner())
    exact = sgd_influence(run_of(problem, read_trajectory(every, store.get(every))), problem.test).values
    result = open_result(job)
    found = result.values("sgd_influence")
    np.testing.assert_allclose(found.values, exact, atol=1e-6 * np.abs(exact).max())
    np.testing.assert_allclose(result.values("hydra").values, exact, atol=1e-4 * np.abs(exact).max())
    for method in ("hydra_fast", "in_run_shapley", "source", "tracin_cp"):
        assert np.corrcoef(result.values(method).values.ravel(), exact.ravel())[0, 1] > 0.5
    assert any("24 steps of sgd" in note for note in found.notes)
    assert any("plain gradient descent" in note for note in result.values("in_run_shapley").notes)
    assert not any("plain gradient descent" in note for note in found.notes)


def test_unrolled_methods_have_influence_on_own_losses_where_it_is_asked_for(job):
    stored, result = stored_job(job), open_result(job)
    store = gradient_store(stored.tracker, stored.parent)
    every = trajectory_stored(store.names(), run_identity("all", stored.prepared.fingerprints))
    problem = gradient_problem(stored.prepared.learner())
    exact = np.diagonal(sgd_influence(run_of(problem, read_trajectory(every, store.get(every))), problem.train).values)
    for method, near in (("sgd_influence", 1e-6), ("hydra", 1e-4)):
        found = result.gradient(method).self_influence
        assert found.value == f"{method} self-influence"
        np.testing.assert_allclose(found.values, exact, atol=near * np.abs(exact).max())
    source = result.gradient("source").self_influence.values
    np.testing.assert_array_equal(result.values("own").values, source)
    for values in (source, result.gradient("in_run_shapley").self_influence.values):
        assert np.corrcoef(values, exact)[0, 1] > 0.5


def test_anomaly_scores_are_the_training_set_s_influence_together(job):
    found = open_result(job).gradient("tracin_ad")
    assert found.group_names == ("all",)
    assert found.groups.shape == (1, 10)
    assert found.influence is None


def test_gradient_values_are_judged_beside_those_of_retrains(job):
    found = evaluate(open_result(job))
    judged = {each.name: each for each in found.estimators}
    assert {"sgd_influence", "tracin_cp", "downsampling"} <= set(judged)
    assert judged["tracin_cp"].scale == "ranking"
    assert judged["sgd_influence"].kind == "gradient"
    score = judged["sgd_influence"].datamodeling
    assert score.value > 5 * score.standard_error
    assert found.replicates == 2
    assert found.halves < found.ceiling < 1.0


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{method: sgd_influence, trajectory: every epoch}", ["every step", "trajectory: all"]),
        ("{method: influence_function, trajectory: all}", ["leave `trajectory` out"]),
        ("{method: tracin_cp, trajectory: sometimes}", ["sometimes", "every 30 epochs"]),
    ],
)
def test_a_trajectory_that_does_not_fit_is_refused_before_anything_is_trained(job, tmp_path, capsys, entry, words):
    path = write_good_job(tmp_path)
    path.write_text(JOB + f"gradients:\n  - {entry}\n")
    assert run_command(["plan", str(path)]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said


def test_a_job_killed_between_two_checkpoints_is_not_taken_for_whole(job):
    before = open_result(job).values("tracin_cp").values
    stored, spec = stored_job(job), job.gradients[-1]
    store = gradient_store(stored.tracker, stored.parent)
    blocks = blocks_stored(store.names(), gradient_identity(spec, stored.prepared))
    last = max(task.checkpoint for task in blocks)
    for task, name in blocks.items():
        if task.checkpoint == last:
            store.remove(name)
    with pytest.raises(JobError, match="not whole in the store yet"):
        open_result(job).values("tracin_cp")
    run(job)
    np.testing.assert_array_equal(open_result(job).values("tracin_cp").values, before)
