"""Jobs sent to a real Ray cluster of three nodes through its Jobs API, token authentication on."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_kill_driver import CODE, JOB, job_in, stored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOKEN = "s3cret-" + "t" * 40


@contextlib.contextmanager
def jobs_cluster(folder: Path):
    """Yields (address of the Jobs API, environment of whoever asks it)."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_"))}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"COUNTS": str(folder), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("jobs_cluster.py"))],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://")
        yield address, environment
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


class Person:
    """Types commands in an empty folder, as on another machine; remembers everything that was said."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        self.folder, self.environment, self.said = folder, environment, ""

    def types(self, *words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "orchestrator", *words]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        said = done.stdout + done.stderr
        self.said += said
        return done.returncode, said

    def waits_for(self, words: str, *command: str, seconds: float = 120.0) -> str:
        deadline = time.monotonic() + seconds
        while words not in (said := self.types(*command)[1]):
            assert time.monotonic() < deadline, said
            time.sleep(1.0)
        return said


def test_a_job_is_sent_watched_killed_resumed_by_its_name_and_stopped(tmp_path, template_database):
    alone = job_in(tmp_path / "alone", "in_process", template_database)
    store, job = tmp_path / "store", tmp_path / "job"
    store.mkdir()
    job.mkdir()
    (store / "apportion.db").write_bytes(template_database.read_bytes())
    uri = f"sqlite:///{store}/apportion.db"
    (job / "data.py").write_text(CODE.replace("time.sleep(0.004)", "time.sleep(0.1)"), encoding="utf-8")
    text = f"{JOB.format(address='local')}store: {{tracking_uri: '{uri}'}}\n"
    (job / "job.yaml").write_text(text, encoding="utf-8")
    with jobs_cluster(alone.parent / "counts") as (address, environment):
        person = Person(tmp_path / "elsewhere", environment | {"MLFLOW_TRACKING_URI": uri})
        began = time.monotonic()
        code, said = person.types("submit", str(job / "job.yaml"), "--address", address)
        assert code == 0, said
        assert time.monotonic() - began < 100  # most of it until the cluster, just started, takes jobs
        for path in job.iterdir():
            path.unlink()  # what runs is on the cluster; what `resume` needs is in the store

        said = person.waits_for("driver: process", "status", "killed")
        deadline = time.monotonic() + 120
        while not list(store.rglob("0*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(int(re.search(r"driver: process (\d+)", person.types("status", "killed")[1])[1]), signal.SIGKILL)
        said = person.waits_for("its driver is gone (process", "status", "killed", "--watch")
        assert "last sign of life" in said
        before = len(list(store.rglob("0*.parquet")))
        assert before

        assert person.types("resume", "killed", "--address", address)[0] == 0
        person.waits_for("driver: process", "status", "killed")
        assert "is asked to stop" in person.types("stop", "killed")[1]
        said = person.waits_for("killed: stopped", "status", "killed")
        code, said = person.types("logs", "killed", "--address", address)
        assert code == 0
        assert "stopped after" in said

        assert person.types("resume", "killed", "--address", address)[0] == 0
        said = person.waits_for("killed: finished", "status", "killed")
        assert "302 of 302 retrains (100%)" in said
        assert TOKEN not in person.said
        assert not [path for path in store.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
        code, said = person.types("status", "nobody")
        assert code == 2
        assert "there is no job nobody" in said
        environment.pop("RAY_AUTH_TOKEN")
        person.environment = environment | {"RAY_AUTH_MODE": "disabled"}
        code, said = person.types("logs", "killed", "--address", address)
        assert code == 4
        assert "RAY_AUTH_TOKEN_PATH" in said
    code, _ = Person(tmp_path / "last", environment).types("run", str(alone))
    assert code == 0
    assert stored(store / "any") == stored(alone)
