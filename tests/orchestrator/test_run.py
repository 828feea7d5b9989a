"""A job from end to end in one process: real data, a real MLflow database, real chunks."""

import io
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from estimators.errors import EstimatorError
from estimators.influence import Influence
from orchestrator.data.memory import arrays_data
from orchestrator.errors import FailedRetrains, JobError, StoreRefused
from orchestrator.job_run import run
from orchestrator.jobs.job import Job
from orchestrator.pair_interactions import interactions
from orchestrator.progress import Screen
from orchestrator.results import JobResult, open_result
from workers.errors import LearnerError

pytestmark = pytest.mark.usefixtures("tracking_database")


def cancer(rows: int = 60) -> dict[str, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return {"X": X[:rows], "y": y[:rows], "X_test": X[200:220], "y_test": y[200:220]}


def a_job(folder: Path, *, data: dict[str, np.ndarray] | None = None, **changes: object) -> Job:
    arrays = cancer() if data is None else data
    settings: dict[str, object] = {
        "name": "cancer",
        "data": arrays_data(arrays["X"], arrays["y"], arrays["X_test"], arrays["y_test"]),
        "learner": {"kind": "logistic_regression", "c": 0.1},
        "campaigns": [{"design": "bernoulli", "probability": 0.5, "retrains": 40}],
        "cluster": {"address": "in_process"},
        "folder": folder,
    }
    return Job.model_validate(settings | changes)


def carried_out(job: Job) -> tuple[JobResult, str]:
    stream = io.StringIO()
    return run(job, screen=Screen(stream)), stream.getvalue()


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*-*.parquet")}


def test_a_job_gives_values_with_errors_and_a_report(tmp_path: Path) -> None:
    result, said = carried_out(a_job(tmp_path))
    influence = result.values("banzhaf")
    assert isinstance(influence, Influence)
    assert influence.values.shape == influence.standard_errors.shape == (60, 20)
    assert np.isfinite(influence.values).all()
    assert (influence.standard_errors > 0).all()
    assert result.report is not None
    assert "Banzhaf" in result.report.read_text(encoding="utf-8")
    assert "42 of 42 retrains (100%)" in said


def test_running_again_trains_nothing_and_gives_the_same_bits(tmp_path: Path) -> None:
    first, _ = carried_out(a_job(tmp_path))
    files = files_of(tmp_path)
    second, said = carried_out(a_job(tmp_path))
    assert files_of(tmp_path) == files
    assert "42 of 42 retrains are in the store already" in said
    np.testing.assert_array_equal(first.values("banzhaf").values, second.values("banzhaf").values)
    reopened = open_result(a_job(tmp_path)).values("banzhaf")
    np.testing.assert_array_equal(first.values("banzhaf").standard_errors, reopened.standard_errors)


def test_a_raised_budget_trains_only_what_is_new(tmp_path: Path) -> None:
    carried_out(a_job(tmp_path))
    longer = a_job(tmp_path, campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": 60}])
    result, said = carried_out(longer)
    assert "42 of 62 retrains are in the store already" in said
    assert result.campaigns[0].store.trained_by(result.campaigns[0].id).rows == 62


def test_a_raised_budget_gives_what_the_whole_budget_would_have_given(tmp_path: Path, template_database: Path) -> None:
    longer = [{"design": "bernoulli", "probability": 0.5, "retrains": 60}]
    carried_out(a_job(tmp_path))
    extended, _ = carried_out(a_job(tmp_path, campaigns=longer))
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "apportion.db").write_bytes(template_database.read_bytes())
    at_once, _ = carried_out(a_job(fresh, campaigns=longer))
    np.testing.assert_array_equal(extended.values("banzhaf").values, at_once.values("banzhaf").values)
    np.testing.assert_array_equal(extended.values("banzhaf").standard_errors, at_once.values("banzhaf").standard_errors)


def test_a_second_campaign_spares_the_rows_that_the_first_has(tmp_path: Path) -> None:
    campaigns = [
        {"design": "bernoulli", "probability": 0.5, "retrains": 40},
        {"design": "uniform", "size": 40, "retrains": 30},
    ]
    _, said = carried_out(a_job(tmp_path, campaigns=campaigns))
    assert "uniform: 2 of 32 retrains are in the store already" in said


def test_influences_of_disjoint_retrains_add_up(tmp_path: Path) -> None:
    campaigns = [
        {"name": "a", "design": "bernoulli", "probability": 0.5, "retrains": 40, "seed": 1},
        {"name": "b", "design": "bernoulli", "probability": 0.5, "retrains": 50, "seed": 2},
    ]
    result, _ = carried_out(a_job(tmp_path, campaigns=campaigns))
    a, b = (result.values("banzhaf_sample_reuse", campaign=name) for name in "ab")
    both = a + b
    members = np.concatenate([each.plan.design.draws(0, each.plan.draws) for each in result.campaigns])
    losses = np.concatenate(
        [block.losses for each in result.campaigns for block in each.retrains("cross_entropy", 0, each.plan.draws)]
    ).astype(np.float64)
    expected = np.stack([losses[~row].mean(axis=0) - losses[row].mean(axis=0) for row in members.T])
    np.testing.assert_allclose(both.values, expected, rtol=1e-9, atol=1e-12)
    assert (both.standard_errors < a.standard_errors).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "named"),
    [("label", "training set"), ("test", "test set"), ("learner", "learner"), ("order", "training set")],
)
def test_changed_data_or_learner_is_refused_by_name_of_what_differs(tmp_path: Path, change: str, named: str) -> None:
    carried_out(a_job(tmp_path))
    files = files_of(tmp_path)
    data, learner = cancer(), {"kind": "logistic_regression", "c": 0.1}
    if change == "label":
        data["y"] = data["y"].copy()
        data["y"][3] = 1 - data["y"][3]
    elif change == "order":
        data["X"], data["y"] = data["X"][::-1], data["y"][::-1]
    elif change == "test":
        data["X_test"] = data["X_test"] + 1e-6
    else:
        learner["c"] = 0.2
    with pytest.raises(StoreRefused, match=named) as refused:
        carried_out(a_job(tmp_path, data=data, learner=learner))
    assert refused.value.exit_code == 5
    assert files_of(tmp_path) == files


def test_until_stops_at_a_fixed_count_and_a_later_reader_sees_that_campaign(tmp_path: Path) -> None:
    rule = {"until": {"value": "banzhaf", "below": 0.05, "at_most": 400, "every": 50}}
    job = a_job(tmp_path, campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": rule}])
    result, said = carried_out(job)
    draws = result.campaigns[0].plan.draws
    assert draws % 50 == 0
    assert 50 <= draws < 400
    assert f"after {draws} retrains (wanted: below 0.05)" in said
    assert result.values("banzhaf").standard_errors.mean() < 0.05
    assert open_result(job).campaigns[0].plan.draws == draws
    assert carried_out(job)[0].campaigns[0].plan.draws == draws


FAILING = """
import numpy as np

def losses(members, seed, *, folder=None):
    if members.sum() == {size}:
        raise ValueError("this size is cursed")
    return {{"cross_entropy": np.full(20, float(members.sum()), dtype=np.float32)}}
"""


def failing_job(folder: Path, tolerance: float) -> Job:
    (folder / "train.py").write_text(FAILING.format(size=28), encoding="utf-8")
    learner = {"kind": "function", "function": "train.py:losses", "deterministic": True}
    return a_job(folder, learner=learner, tolerance=tolerance)


def test_failed_retrains_beyond_the_tolerance_end_with_3_and_everything_else_is_stored(tmp_path: Path) -> None:
    with pytest.raises(FailedRetrains, match="cursed") as failed:
        carried_out(failing_job(tmp_path, 0.001))
    assert failed.value.exit_code == 3
    result = open_result(failing_job(tmp_path, 0.001))
    campaign = result.campaigns[0]
    rows = [row for block in campaign.plan.all_rows() for row in block.ids]
    sizes = [size for block in campaign.plan.all_rows() for size in block.members.sum(axis=1)]
    cursed = [place for place, size in enumerate(sizes) if size == 28]
    assert 0 < len(cursed) < len(rows)
    assert sorted(campaign.store.failed(rows)) == cursed
    assert campaign.store.missing(rows) == []


def test_failed_retrains_within_the_tolerance_are_left_out_and_said(tmp_path: Path) -> None:
    result, _ = carried_out(failing_job(tmp_path, 0.9))
    influence = result.values("banzhaf")
    assert any("failed" in note for note in influence.notes)
    assert np.isfinite(influence.values).all()


def test_a_value_that_no_campaign_permits_is_refused_with_the_design_to_run(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="exhaustive"):
        carried_out(a_job(tmp_path, values=("shapley",)))


def test_a_learner_that_cheats_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    code = "import numpy as np\n\ndef losses(members, seed, *, folder=None):\n"
    code += "    return {'cross_entropy': np.linspace(0.1, 0.9, 20)}\n"
    (tmp_path / "cheat.py").write_text(code, encoding="utf-8")
    (tmp_path / "apportion.db").unlink()
    with pytest.raises(LearnerError, match="members"):
        carried_out(a_job(tmp_path, learner={"kind": "function", "function": "cheat.py:losses"}))
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["cheat.py"]


def test_resume_refuses_where_nothing_was_started(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="nothing to resume"):
        run(a_job(tmp_path), screen=Screen(io.StringIO()), start="stopped")


def test_values_that_go_through_the_rows_twice_are_the_same_bits_each_time(tmp_path: Path) -> None:
    result, _ = carried_out(
        a_job(
            tmp_path,
            campaigns=[{"design": "bernoulli", "probability": [0.2, 0.4, 0.6, 0.8], "retrains": 60}],
            values=["ame"],
        )
    )
    first, second = result.values("ame"), result.values("ame")
    assert first.values.tobytes() == second.values.tobytes()
    assert (first.standard_errors > 0).all()


def test_interactions_are_read_off_the_same_losses(tmp_path: Path) -> None:
    result, _ = carried_out(a_job(tmp_path))
    named = interactions(result, "banzhaf_interaction", pairs=[(5, 3), (7, 9)])
    assert named.pairs.tolist() == [[3, 5], [7, 9]]
    assert named.values.shape == (2, 20)
    found = interactions(result, "banzhaf_interaction", strongest=4)
    assert len(found.pairs) == 4
    again = interactions(result, "banzhaf_interaction", pairs=[tuple(pair) for pair in found.pairs.tolist()])
    assert again.values.tobytes() == found.values.tobytes()
    for pair in ((3, 3), (0, 60)):
        with pytest.raises(JobError, match="two different training instances, 0 to 59"):
            interactions(result, "banzhaf_interaction", pairs=[pair])
    with pytest.raises(EstimatorError, match="no campaign of this job permits shapley_interaction"):
        interactions(result, "shapley_interaction")
