"""A bucket that answers 503, breaks off and loses replies; a server and a database that die and come back."""

import importlib
import time
from threading import Timer

import pytest
from fixtures_cloud import Faults, make_cloud, why_no_cloud
from test_both_modes import Mode, bits, wanted  # noqa: F401 - a fixture of that module

from orchestrator.cli import run_command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_no_cloud()), reason=why_no_cloud()),
]


@pytest.fixture
def own_cloud(tmp_path, monkeypatch):
    """A cloud that the test may break; `faults` is set before anything is asked of it."""
    clouds = []

    def made(faults: Faults):
        making = make_cloud(tmp_path / "cloud", faults)
        cloud = next(making)
        clouds.append(making)
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        return cloud, Mode("server", tmp_path, cloud.server.address, cloud.environment, cloud)

    yield made
    for making in clouds:
        making.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_bucket_that_fails_one_request_in_five_costs_nothing(own_cloud, wanted, seed):  # noqa: F811
    cloud, mode = own_cloud(Faults(slow_down=0.07, reset=0.07, lost_reply=0.06, seed=seed))
    job = mode.job("faulty")
    assert run_command(["run", str(job)]) == 0
    assert bits(job) == wanted
    done = cloud.proxy.faults.done
    assert min(done["slow_down"], done["reset"], done["lost_reply"]) > 0, done
    names = [key.rpartition("/")[2] for key in cloud.bucket.objects() if key.endswith(".parquet")]
    assert len({name.rpartition("-")[0] for name in names}) == len(names), names  # no rows of a chunk stand twice


@pytest.mark.parametrize("victim", ["server", "postgres"])
def test_a_server_or_its_database_away_for_60_seconds_costs_neither_rows_nor_metrics(own_cloud, wanted, victim):  # noqa: F811
    cloud, mode = own_cloud(Faults())
    job = mode.job("away")
    process = mode.start("run", job, SECONDS_A_RETRAIN="0.9")  # the campaign outlasts what is away
    deadline = time.monotonic() + 120
    while mode.chunk_count(job) < 2:
        assert process.poll() is None, (job.parent / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    dying = cloud.server if victim == "server" else cloud.postgres
    dying.kill()
    time.sleep(60)
    assert process.poll() is None, (job.parent / "log.txt").read_text()
    dying.start()
    assert process.wait(240) == 0, (job.parent / "log.txt").read_text()
    said = (job.parent / "log.txt").read_text()
    assert "Traceback" not in said
    assert bits(job) == wanted
    from mlflow import MlflowClient

    client = MlflowClient(cloud.server.address)
    runs = client.search_runs([client.get_experiment_by_name("away").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    [campaign] = [run for run in runs if run.data.tags["apportion.kind"] == "campaign"]
    assert campaign.data.metrics["retrains"] == 122
    history = client.get_metric_history(campaign.info.run_id, "retrains")
    assert len({point.step for point in history}) == len(history)


@pytest.mark.parametrize("moment", ["session.campaign_parameters", "job_run.make_report", "job_run.keep_manifests"])
@pytest.mark.parametrize("victim", ["server", "postgres"])
def test_one_that_goes_away_while_a_job_is_opened_or_closed_is_waited_for(
    own_cloud,
    wanted,  # noqa: F811
    victim,
    moment,
    monkeypatch,
    capfd,
):
    cloud, mode = own_cloud(Faults())
    job = mode.job("away")
    dying = cloud.server if victim == "server" else cloud.postgres
    name, _, function = moment.partition(".")
    module = importlib.import_module(f"orchestrator.{name}")
    whole, timers = getattr(module, function), []

    def away_first(*words, **named):
        if not timers:
            dying.kill()
            timers.append(Timer(20.0, dying.start))
            timers[0].start()
        return whole(*words, **named)

    monkeypatch.setattr(module, function, away_first)
    try:
        assert run_command(["run", str(job)]) == 0
    finally:
        timers[0].join()
    said = capfd.readouterr().err
    assert "waiting for the store, for at most 10 min" in said
    assert "the store is back after" in said
    assert bits(job) == wanted
    from mlflow import MlflowClient

    client = MlflowClient(cloud.server.address)
    runs = client.search_runs([client.get_experiment_by_name("away").experiment_id])
    assert sorted(run.data.tags["apportion.kind"] for run in runs) == ["campaign", "job"]  # none stands twice
    assert {run.info.status for run in runs} == {"FINISHED"}
