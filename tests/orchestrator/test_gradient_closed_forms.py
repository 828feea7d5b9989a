"""Closed forms of ridge regression from a job, against as many refits as there are instances."""

import numpy as np
import pytest

from orchestrator import load_job, open_result, run
from orchestrator.cli import run_command
from orchestrator.results import stored_job

JOB = """\
name: closed
data: {{train: train.npz, test: test.npz}}
learner: {{kind: ridge, alpha: {alpha}}}
campaigns: [{{design: leave_one_out}}]
values: [leave_one_out]
cluster: {{address: in_process}}
gradients:
"""
N, TESTS = 30, 6


def written(folder, alpha, entries):
    rng = np.random.default_rng(0)
    X, X_test = (rng.normal(size=(rows, 3)).astype(np.float32) for rows in (N, TESTS))
    y, y_test = (each @ [1.0, -2, 0.5] + 1.0 + rng.normal(size=len(each)) for each in (X, X_test))
    np.savez(folder / "train.npz", X=X, y=y.astype(np.float32))
    np.savez(folder / "test.npz", X=X_test, y=y_test.astype(np.float32))
    (folder / "job.yaml").write_text(JOB.format(alpha=alpha) + "".join(f"  - {{method: {each}}}\n" for each in entries))
    return folder / "job.yaml"


def refitted(X, y, alpha):
    """Coefficients of all instances, and without each [n, 4]: the divisor stays n, the intercept is free."""
    columns = np.hstack([X, np.ones((len(X), 1))])
    penalty = alpha * np.diag([1.0, 1, 1, 0])

    def solved(rows):
        return np.linalg.solve(columns[rows].T @ columns[rows] + penalty, columns[rows].T @ y[rows])

    everyone = np.arange(len(y))
    return columns, solved(everyone), np.stack([solved(np.delete(everyone, i)) for i in everyone])


def test_leave_one_out_and_distances_are_those_of_refits(tmp_path, tracking_database):
    path = written(tmp_path, 3.0, ["ridge_leave_one_out", "cooks_distance"])
    result = run(load_job(path))
    data = stored_job(load_job(path)).prepared.loaded.dataset
    y = data.train_labels.astype(float)
    columns, theta, without = refitted(data.train_features.astype(float), y, 3.0)
    tests = np.hstack([data.test_features.astype(float), np.ones((TESTS, 1))])
    wanted = data.test_labels.astype(float)
    exact = np.square(without @ tests.T - wanted) - np.square(tests @ theta - wanted)
    found = result.gradient("ridge_leave_one_out")
    np.testing.assert_allclose(found.influence.values, exact, rtol=1e-8, atol=1e-12)
    stored = result.values("leave_one_out").values  # the store keeps losses as float32
    np.testing.assert_allclose(found.influence.values, stored, atol=1e-5)
    own = np.square((columns * without).sum(axis=1) - y) - np.square(columns @ theta - y)
    np.testing.assert_allclose(found.self_influence.values, own, rtol=1e-8)
    residuals = y - columns @ theta
    moves = np.square((theta - without) @ columns.T).sum(axis=1)
    cook = moves / (4 * residuals @ residuals / (N - 4))
    np.testing.assert_allclose(result.values("cooks_distance").values, cook, rtol=1e-8)
    assert open_result(load_job(path)).values("cooks_distance").value == "cooks_distance"


def test_dffits_are_those_of_refits_and_of_least_squares_only(tmp_path, tracking_database, capsys):
    path = written(tmp_path, 0.0, ["dffits"])
    result = run(load_job(path))
    data = stored_job(load_job(path)).prepared.loaded.dataset
    y = data.train_labels.astype(float)
    columns, theta, without = refitted(data.train_features.astype(float), y, 0.0)
    expected = []
    leverages = np.einsum("ij,jk,ik->i", columns, np.linalg.inv(columns.T @ columns), columns)
    for i in range(N):
        left = np.delete(np.arange(N), i)
        spread = np.sqrt(np.square(y[left] - columns[left] @ without[i]).sum() / (N - 1 - 4))
        expected.append(columns[i] @ (theta - without[i]) / (spread * np.sqrt(leverages[i])))
    np.testing.assert_allclose(result.values("dffits").values, expected, rtol=1e-7)
    penalised = tmp_path / "penalised"
    penalised.mkdir()
    assert run_command(["run", str(written(penalised, 3.0, ["dffits"]))]) == 2
    assert "alpha: 0" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["ridge_leave_one_out", "cooks_distance"])
def test_other_learners_are_refused(tmp_path, tracking_database, capsys, method):
    path = written(tmp_path, 3.0, [method])
    text = path.read_text().replace("{kind: ridge, alpha: 3.0}", "{kind: logistic_regression}")
    path.write_text(text.replace("values: [leave_one_out]\n", ""))
    data = dict(np.load(tmp_path / "train.npz"))
    np.savez(tmp_path / "train.npz", X=data["X"], y=(data["y"] > 0).astype(int))
    data = dict(np.load(tmp_path / "test.npz"))
    np.savez(tmp_path / "test.npz", X=data["X"], y=(data["y"] > 0).astype(int))
    assert run_command(["run", str(path)]) == 2
    assert "kind: ridge" in capsys.readouterr().err
