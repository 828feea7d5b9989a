"""The command against a real Ray cluster of two nodes and a real MLflow server; each cluster a process of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_kill_driver import job_in, stored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TOKEN = "t" * 40


@contextlib.contextmanager
def two_nodes(counts: Path, *words: str, **more: str):
    """A cluster; what its nodes' environment is beside this process's own. Yields (address, environment)."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_TRACKING"))}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"COUNTS": str(counts), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("two_nodes.py")), *words],
        env=environment | more,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert address
        yield address, environment
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def command(name: str, job: Path, environment: dict[str, str], *, seconds: float = 150) -> tuple[int, str, float]:
    """Exit code, everything printed, seconds."""
    began = time.monotonic()
    words = [sys.executable, "-m", "orchestrator", name, str(job)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


def write(job: Path, address: str, tracking: str, more: str = "") -> None:
    text = job.read_text(encoding="utf-8").replace("{address: in_process}", f"{{address: '{address}'}}")
    job.write_text(f"{text}\nstore: {{tracking_uri: '{tracking}'}}\n{more}\n", encoding="utf-8")


def test_the_same_job_gives_the_same_rows_on_a_cluster_against_a_server(tmp_path, template_database, own_server):
    alone = job_in(tmp_path / "alone", "in_process", template_database)
    with two_nodes(alone.parent / "counts") as (address, environment):
        assert command("run", alone, environment)[0] == 0
        job = job_in(tmp_path / "cluster", "in_process", template_database)
        write(job, address, own_server.address)
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", str(job)], env=environment, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while not list(own_server.artifacts.rglob("0*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = len(list(own_server.artifacts.rglob("0*.parquet")))
        code, said, _ = command("resume", job, environment)
        assert code == 0, said
        assert before > 0
        assert stored_by(own_server.artifacts) == stored(alone)
        assert command("status", job, environment)[0] == 0
        assert TOKEN not in said


def stored_by(artifacts: Path) -> dict:
    return stored(artifacts / "any")


def test_a_worker_larger_than_any_node_and_a_gpu_that_is_nowhere_are_refused_soon(tmp_path, template_database):
    job = job_in(tmp_path / "job", "in_process", template_database)
    plain = job.read_text(encoding="utf-8")
    with two_nodes(job.parent / "counts") as (address, environment):
        for asked, words in (
            ("{cpus: 1, gpus: 2}", ["2 GPUs", "the largest of 2 nodes", "0 GPUs"]),
            ("{cpus: 64}", ["64 CPUs", "the largest of 2 nodes", "1 CPUs"]),
            ("{resources: {licence: 1}}", ["1 licence", "0 licence"]),
        ):
            job.write_text(plain, encoding="utf-8")
            write(job, address, "sqlite:///apportion.db", f"workers: {asked}")
            code, said, seconds = command("run", job, environment)
            assert code == 4, said
            assert not [word for word in words if word not in said], said
            assert "Traceback" not in said
            assert seconds < 30
        assert not list(job.parent.rglob("0*.parquet"))


def may_mount() -> bool:
    probe = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    return os.geteuid() == 0 and subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="mounting a file system for one process tree is not permitted here")
def test_a_folder_that_one_node_does_not_share_is_refused_and_a_shared_one_is_taken(tmp_path, template_database):
    job = job_in(tmp_path / "job", "in_process", template_database)
    counts = tmp_path / "counts"
    counts.mkdir()
    plain = job.read_text(encoding="utf-8")
    (job.parent / "hidden").mkdir()
    with two_nodes(counts, str(job.parent / "hidden")) as (address, environment):
        write(job, address, "sqlite:///hidden/apportion.db")
        code, said, _ = command("run", job, environment)
        assert code == 4, said
        assert "the store is a local folder" in said
        assert "store.tracking_uri" in said
        assert not list(job.parent.rglob(".probe-*"))
        job.write_text(plain, encoding="utf-8")
        write(job, address, "sqlite:///apportion.db")
        assert command("run", job, environment)[0] == 0
