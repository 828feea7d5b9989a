"""A tracking server that is away for a while, that asks who one is, and a driver that is killed while it uses one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures_server import MlflowServer, with_accounts
from mlflow import MlflowClient
from test_cluster_jobs import command, two_nodes, write
from test_kill_driver import job_in, stored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

USER, PASSWORD = "admin", "s3cret-of-the-server"


def environment_of(job: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_"))}
    return {**kept, "COUNTS": str(job.parent / "counts"), "OMP_NUM_THREADS": "1", **more}


def started(job: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (job.parent / "log.txt").open("ab") as log:
        words = [sys.executable, "-m", "orchestrator", "run", str(job)]
        return subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)


def wait_for_chunks(server: MlflowServer, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(server.artifacts.rglob("0*.parquet"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def slowly(job: Path) -> None:
    """Retrains of 40 ms, so that the campaign lasts longer than what happens to its server."""
    code = (job.parent / "data.py").read_text(encoding="utf-8").replace("sleep(0.004)", "sleep(0.04)")
    (job.parent / "data.py").write_text(code, encoding="utf-8")


@pytest.mark.parametrize("address", ["in_process", "local"])
def test_a_server_away_for_20_seconds_costs_neither_the_campaign_nor_a_metric(
    tmp_path, template_database, own_server, address
):
    job = job_in(tmp_path / "job", "in_process", template_database)
    slowly(job)
    write(job, address, own_server.address, "workers: {count: 2}")
    process = started(job, environment_of(job))
    wait_for_chunks(own_server, 2)
    own_server.kill()
    time.sleep(20)
    assert process.poll() is None, (job.parent / "log.txt").read_text()
    own_server.start()
    assert process.wait(200) == 0, (job.parent / "log.txt").read_text()
    said = (job.parent / "log.txt").read_text()
    assert "Traceback" not in said
    client = MlflowClient(own_server.address)
    runs = client.search_runs([client.get_experiment_by_name("killed").experiment_id])
    for run in runs:
        assert run.info.status == "FINISHED"
        if run.data.tags["apportion.kind"] == "campaign":
            planned = max(point.step for point in client.get_metric_history(run.info.run_id, "retrains"))
            assert f"{planned} of {planned} retrains" in said
            assert run.data.metrics["retrains"] == planned
            assert "mean_standard_error/banzhaf/cross_entropy" in run.data.metrics or run.info.run_name == "uniform"
    assert not list((job.parent / ".apportion").rglob("*.new"))


@pytest.mark.parametrize("everything", [False, True])
def test_a_driver_killed_while_it_uses_a_server_is_resumed_at_once(tmp_path, template_database, own_server, everything):
    job = job_in(tmp_path / "job", "in_process", template_database)
    slowly(job)
    write(job, "in_process", own_server.address)
    environment = environment_of(job)
    process = started(job, environment)
    wait_for_chunks(own_server, 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if everything:
        own_server.kill()
        code, said, seconds = command("resume", job, environment)
        assert (code, "Connection refused" in said) == (4, True), said
        assert seconds < 25
        own_server.start()
    before = {path.name for path in own_server.artifacts.rglob("0*.parquet")}
    code, said, _ = command("resume", job, environment)
    assert code == 0, said
    assert before <= {path.name for path in own_server.artifacts.rglob("0*.parquet")}
    assert len(stored(own_server.artifacts / "any")) > len(before)


@pytest.fixture
def server_with_accounts(tmp_path):
    pytest.importorskip("flask_wtf", reason="MLflow's accounts need its extra: pip install 'mlflow[auth]'")
    folder = tmp_path / "server"
    options, known = with_accounts(folder, USER, PASSWORD)
    server = MlflowServer(folder, *options, **known)
    try:
        yield server.start()
    finally:
        server.kill()


def test_accounts_are_taken_from_the_environment_and_shown_nowhere(tmp_path, template_database, server_with_accounts):
    server = server_with_accounts
    job = job_in(tmp_path / "job", "in_process", template_database)
    plain = job.read_text(encoding="utf-8")
    write(job, "in_process", server.address)
    code, said, seconds = command("run", job, environment_of(job))
    assert (code, "(401)" in said, "MLFLOW_TRACKING_USERNAME" in said) == (4, True, True), said
    assert seconds < 25
    known = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    job.write_text(plain, encoding="utf-8")
    write(job, "local", server.address)
    code, output, _ = command("run", job, environment_of(job, **known))
    assert code == 0, output
    code, again, _ = command("status", job, environment_of(job, **known))
    assert code == 0, again
    texts = {"output": (said + output + again).encode()}
    for folder in (job.parent, server.folder):
        texts |= {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    found = [name for name, text in texts.items() if PASSWORD.encode() in text]
    assert [Path(name).name for name in found] == ["accounts.ini"]


def test_nodes_that_lack_the_account_are_refused_before_anything_is_trained(
    tmp_path, template_database, server_with_accounts
):
    job = job_in(tmp_path / "job", "in_process", template_database)
    known = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    with two_nodes(job.parent / "counts") as (address, environment):
        write(job, address, server_with_accounts.address)
        code, said, _ = command("run", job, environment | known)
        assert code == 4, said
        assert "401" in said
        assert "on every node" in said
        assert PASSWORD not in said
    plain = job.read_text(encoding="utf-8")
    with two_nodes(job.parent / "counts", **known) as (address, environment):
        job.write_text(plain.replace(plain.split("address: '")[1].split("'")[0], address), encoding="utf-8")
        code, said, _ = command("run", job, environment | known)
        assert code == 0, said
        assert PASSWORD not in said
