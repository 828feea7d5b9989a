"""A budget stops a job in order before it is overspent, and a raised one goes on where it stopped."""

from pathlib import Path

import numpy as np
import pytest
from good_job import JOB, write_good_job
from test_run import a_job, carried_out

from orchestrator.cli import run_command
from orchestrator.errors import BudgetSpent
from orchestrator.jobs.job import Job
from orchestrator.results import open_result, open_tracker
from orchestrator.spending import Meter, Spending
from orchestrator.status import job_status

pytestmark = pytest.mark.usefixtures("tracking_database")
TOGETHER = {"kind": "logistic_regression", "c": 0.1, "together": 8}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def meter(folder: Path, clock: Clock, **budget: float) -> Meter:
    job = a_job(folder, budget=budget, workers={"gpus": 0.5})
    return Meter(job, Spending(), seconds=36.0, bytes_per_retrain=100.0, workers=2, clock=clock)


def rows_of(folder: Path, job: Job) -> int:
    campaigns = open_result(job).campaigns
    return sum(each.store.trained_by(each.id).rows for each in campaigns)


@pytest.mark.parametrize("limit", ["retrains", "bytes"])
def test_a_job_stops_before_its_budget_is_overspent_and_a_raised_one_gives_the_same_bits(
    tmp_path: Path, template_database: Path, limit: str
) -> None:
    most = {"retrains": 30, "bytes": 9000}[limit]
    with pytest.raises(BudgetSpent, match=f"raise budget.{limit} and go on: apportion resume") as stopped:
        carried_out(a_job(tmp_path, learner=TOGETHER, budget={limit: most}))
    assert stopped.value.exit_code == 6
    open_job = a_job(tmp_path, learner=TOGETHER)
    trained = rows_of(tmp_path, open_job)
    assert 0 < trained <= 30
    if limit == "retrains":
        assert trained == 24, "three chunks of 8; a fourth would pass 30"
    assert job_status(open_tracker(open_job)).state == "stopped"
    with pytest.raises(BudgetSpent):
        carried_out(a_job(tmp_path, learner=TOGETHER, budget={limit: most}))
    assert rows_of(tmp_path, open_job) == trained
    result, said = carried_out(a_job(tmp_path, learner=TOGETHER, budget={limit: 100 * most}))
    assert f"{trained} of 42 retrains are in the store already" in said
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "apportion.db").write_bytes(template_database.read_bytes())
    at_once, _ = carried_out(a_job(fresh, learner=TOGETHER))
    np.testing.assert_array_equal(result.values("banzhaf").values, at_once.values("banzhaf").values)


def test_hours_and_gpu_hours_and_money_count_while_workers_are_up(tmp_path: Path) -> None:
    clock = Clock()
    running = meter(tmp_path, clock, money=100.0, price_per_hour=4.0)
    running.look(0)
    clock.now = 3600.0
    running.look(0)  # an hour without workers costs nothing
    clock.now = 7200.0
    running.look(3)
    spent = running.spent.amounts(a_job(tmp_path, budget={"price_per_hour": 4.0}, workers={"gpus": 0.5}))
    assert spent == {"hours": 1.0, "gpu_hours": 1.5, "money": 12.0, "retrains": 0.0, "bytes": 0.0}
    running.pause()
    clock.now = 9999.0
    running.look(3)
    assert running.spent.hours == 1.0
    assert running.metrics()["spent_money"] == 12.0


@pytest.mark.parametrize(
    ("budget", "chunks"),
    [
        ({"hours": 0.2}, 4),  # 36 s a retrain on 2 workers: a chunk of 10 takes 0.05 h
        ({"gpu_hours": 0.2}, 4),  # 0.1 worker hours a chunk, half a GPU each
        ({"money": 0.35, "price_per_hour": 1.0}, 3),
        ({"retrains": 29}, 2),
        ({"bytes": 3000}, 3),
    ],
)
def test_chunks_in_flight_count_as_spent_before_they_are(tmp_path: Path, budget: dict[str, float], chunks: int) -> None:
    running = meter(tmp_path, Clock(), **budget)
    sent = 0
    while running.room_for(10):
        sent += 1
        assert sent < 100
    assert sent == chunks
    assert running.over is not None
    assert running.over.then > running.over.most >= running.over.spent


def test_the_dearest_chunk_so_far_predicts_the_next(tmp_path: Path) -> None:
    running = meter(tmp_path, Clock(), hours=1.0)
    assert running.room_for(10)
    running.stored(10, size=1000.0, seconds=3600.0)  # ten times as long as the smoke retrain said
    assert running.room_for(10)
    assert running.room_for(10)
    assert not running.room_for(10)


def test_what_was_spent_is_remembered_by_the_store(tmp_path: Path) -> None:
    price = {"price_per_hour": 3600.0, "money": 1e9}
    carried_out(a_job(tmp_path, learner=TOGETHER, budget=price))
    tracker = open_tracker(a_job(tmp_path))
    parent = tracker.find_job_run()
    assert parent is not None
    metrics = tracker.latest_metrics(parent.run_id)
    assert metrics["spent_hours"] > 0
    assert metrics["spent_money"] == pytest.approx(3600.0 * metrics["spent_worker_hours"])
    (run,) = tracker.campaign_runs()
    assert tracker.latest_metrics(run.run_id)["seconds_left"] == 0.0
    more = [{"design": "bernoulli", "probability": 0.5, "retrains": 80}]
    carried_out(a_job(tmp_path, learner=TOGETHER, budget=price, campaigns=more))
    assert tracker.latest_metrics(parent.run_id)["spent_hours"] > metrics["spent_hours"]


def test_the_plan_says_what_the_budget_buys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_good_job(tmp_path)
    budget = "budget: {retrains: 20, money: 5, price_per_hour: 0.8}"
    (tmp_path / "job.yaml").write_text(f"{JOB}{budget}\n", encoding="utf-8")
    assert run_command(["plan", str(tmp_path / "job.yaml")]) == 0
    said = capsys.readouterr().out
    assert "budget: 54 retrains of 20 retrains: it will stop before its end" in said
    (money,) = [line for line in said.splitlines() if "money" in line]
    assert money.endswith("of 5 money")
