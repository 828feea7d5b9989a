"""Gradient methods of a job: values of the job's own models, stored block by block, resumed, and asked for by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from good_job import JOB, write_good_job
from oracles import gradients as oracle

import estimators.gradient.source
from estimators.errors import EstimatorError
from estimators.gradient.closed_form import least_squares
from estimators.gradient.layout import layout_of
from orchestrator import load_job, open_result, run
from orchestrator.cli import run_command
from orchestrator.errors import JobError
from orchestrator.gradients.identity import gradient_identity, gradient_store
from orchestrator.results import stored_job
from workers.gradient_file import blocks_stored
from workers.gradient_problem import gradient_problem
from workers.gradient_work import GradientWork

METHODS = """\
gradients:
  - {method: influence_function, curvature: exact, matrix: hessian, damping: 0.0, dtype: float64}
  - {method: trak, name: traced, dimensions: 2, models: 1, damping: 0.1}
"""


@pytest.fixture
def job(tmp_path, tracking_database, monkeypatch):
    monkeypatch.setattr(estimators.gradient.source, "MOST_ROWS", 16)  # three blocks of 40 rows
    path = write_good_job(tmp_path)
    path.write_text(JOB.replace("values: [downsampling, banzhaf]\n", "") + METHODS)
    return load_job(path)


def blocks_of(job):
    stored = stored_job(job)
    store = gradient_store(stored.tracker, stored.parent)
    return store, blocks_stored(store.names(), gradient_identity(job.gradients[0], stored.prepared))


def test_values_are_the_influence_functions_of_the_learners_own_solution(job):
    result = run(job)
    found = result.values("influence_function")
    assert found.loss == "cross_entropy"
    assert any("scale loss" in note for note in found.notes)
    assert any("damping 0" in note for note in found.notes)
    assert np.isnan(found.standard_errors).all()
    np.testing.assert_allclose(found.values, explicit_influence(job), rtol=1e-6, atol=1e-12)
    exact = exact_leave_one_out(result)
    assert np.corrcoef(found.values.ravel(), exact.ravel())[0, 1] > 0.98
    assert np.isfinite(result.values("traced").values).all()
    again = open_result(job).values("influence_function")
    np.testing.assert_array_equal(again.values, found.values)


def explicit_influence(job):
    """(1/n) g_j H^-1 g_i at the learner's own solution, by plain autograd."""
    learner = stored_job(job).prepared.learner()
    problem = gradient_problem(learner)
    models = learner.trained(np.ones((1, learner.n), dtype=bool), np.zeros(1, dtype=np.uint64))
    problem.objective.module.load_state_dict(problem.state(models, 0))
    layout = layout_of(problem.objective.module)
    rows, columns = (oracle.rows(problem.objective, layout, each) for each in (problem.train, problem.test))
    hessian = oracle.hessian(problem.objective, layout, problem.train)
    return (rows @ torch.linalg.inv(hessian) @ columns.T / learner.n).numpy()


def exact_leave_one_out(result):
    """[n, n_test] by the job's own learner."""
    learner = stored_job(result.job).prepared.learner()
    n = learner.n
    members = ~np.eye(n, dtype=bool)
    seeds = np.zeros(n, dtype=np.uint64)
    without = learner.retrain(members, seeds).test["cross_entropy"].astype(float)
    whole = learner.retrain(np.ones((1, n), dtype=bool), seeds[:1]).test["cross_entropy"].astype(float)
    return without - whole


def test_the_problem_has_the_losses_and_the_stationary_point_of_the_learner(job):
    run(job)
    learner = stored_job(job).prepared.learner()
    whole, seeds = np.ones((1, learner.n), dtype=bool), np.zeros(1, dtype=np.uint64)
    problem = gradient_problem(learner)
    problem.objective.module.load_state_dict(problem.state(learner.trained(whole, seeds), 0))
    losses = problem.objective.losses(problem.test).detach().numpy()
    np.testing.assert_allclose(losses, learner.retrain(whole, seeds).test["cross_entropy"][0], rtol=1e-5)
    weight = problem.objective.module.linear.weight
    value = problem.objective.losses(problem.train).mean()
    value = value + problem.objective.penalty["linear.weight"] / 2 * weight.square().sum()
    slopes = torch.autograd.grad(value, list(problem.objective.module.parameters()))
    assert max(float(each.abs().max()) for each in slopes) < 1e-5


def test_only_what_is_missing_is_computed_again_with_the_same_bits(job, monkeypatch):
    run(job)
    store, blocks = blocks_of(job)
    assert len(blocks) == 3 + 3 + 1  # scores, self-influence, stationarity
    before = {name: store.get(name) for name in blocks.values()}
    store.remove(blocks["gradient", 0, 0, 16])
    with pytest.raises(JobError, match="not whole in the store yet"):
        open_result(job).values("influence_function")
    computed, real = [], GradientWork.store
    monkeypatch.setattr(GradientWork, "store", lambda work, name: computed.append(name) or real(work, name))
    run(job)
    store, blocks = blocks_of(job)
    assert {name: store.get(name) for name in blocks.values()} == before
    assert computed == [("gradient", 0, 0, 16)]


def test_models_of_trak_are_summed_in_a_few_parts(job, monkeypatch):
    entry = "gradients: [{method: trak, models: 5, dimensions: 2, damping: 0.1}]\n"
    path = Path(job.origin.path)
    path.write_text(JOB.replace("values: [downsampling, banzhaf]\n", "") + entry)
    many = load_job(path)
    whole = run(many).values("trak").values
    store, blocks = blocks_of(many)
    assert len(blocks) == 5
    for name in blocks.values():
        store.remove(name)
    monkeypatch.setattr("workers.gradient_trak.MOST_PARTS", 2)
    again = run(many).values("trak").values
    assert len(blocks_of(many)[1]) == 2
    np.testing.assert_allclose(again, whole, rtol=1e-12)


def test_ridge_is_leave_one_out_in_closed_form_to_first_order(tmp_path, tracking_database):
    rng = np.random.default_rng(0)
    X, X_test = rng.normal(size=(60, 3)), rng.normal(size=(5, 3))
    y, y_test = X @ [1.0, -2, 0.5] + rng.normal(size=60), rng.normal(size=5)
    np.savez(tmp_path / "train.npz", X=X.astype(np.float32), y=y.astype(np.float32))
    np.savez(tmp_path / "test.npz", X=X_test.astype(np.float32), y=y_test.astype(np.float32))
    path = tmp_path / "job.yaml"
    path.write_text(
        "name: ridge\ndata: {train: train.npz, test: test.npz}\n"
        "learner: {kind: ridge, alpha: 3.0, fit_intercept: false}\n"
        "campaigns: [{design: bernoulli, probability: 0.5, retrains: 8}]\ncluster: {address: in_process}\n"
        "gradients: [{method: influence_function, curvature: exact, damping: 0.0, dtype: float64}]\n"
    )
    found = run(load_job(path)).values("influence_function")
    fit = least_squares(X.astype(np.float32).astype(float), y.astype(np.float32).astype(float), penalty=3.0 / 60)
    errors = X_test.astype(np.float32) @ fit.theta - y_test.astype(np.float32)
    changes = fit.parameter_changes() * (1 - fit.leverages)[:, None]
    exact = -2 * changes @ (errors[:, None] * X_test.astype(np.float32)).T
    np.testing.assert_allclose(found.values, exact, rtol=1e-6, atol=1e-9)


@pytest.mark.ray
def test_on_ray_the_blocks_are_the_same_bits(job, ray_cluster, tmp_path):
    run(job)
    store, blocks = blocks_of(job)
    before = {name: store.get(name) for name in blocks.values()}
    for name in blocks.values():
        store.remove(name)
    text = (tmp_path / "job.yaml").read_text().replace("{address: in_process}", "{address: local}")
    (tmp_path / "job.yaml").write_text(text)
    cluster_job = load_job(tmp_path / "job.yaml")
    run(cluster_job)
    store, blocks = blocks_of(cluster_job)
    assert {name: store.get(name) for name in blocks.values()} == before


def test_a_method_that_fails_leaves_the_others_and_the_report(job, monkeypatch, capsys):
    store = GradientWork.store

    def failing(work, task):
        if work._request.spec.label == "influence_function":
            raise EstimatorError("gradients: the curvature is singular")
        return store(work, task)

    with monkeypatch.context() as patch:
        patch.setattr(GradientWork, "store", failing)
        with pytest.raises(JobError, match="influence_function: the curvature is singular") as caught:
            run(job)
    assert "gradients[0]" in caught.value.problems[0].where
    assert "goes on without it" in capsys.readouterr().err
    assert np.isfinite(open_result(job).values("traced").values).all()
    assert "traced" in (job.folder / "good-report.html").read_text()
    assert np.isfinite(run(job).values("influence_function").values).all()


def test_a_plan_says_what_the_methods_take(job, capsys):
    path = job.folder / "job.yaml"
    assert run_command(["plan", str(path)]) == 0
    said = capsys.readouterr().out
    assert "gradients: influence_function, traced" in said
    assert "trained on all 40 instances: 1 model;" in said
    assert "2 matrices [40, 10], 0.0064 MB" in said
