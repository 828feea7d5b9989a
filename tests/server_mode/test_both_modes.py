"""One suite for both modes: a folder with SQLite, and a server with PostgreSQL, S3 and accounts. The same job file."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from fixtures_cloud import BUCKET, SECRETS, Cloud, why_no_cloud
from pyarrow import parquet

from orchestrator import load_job, open_result
from orchestrator.cli import run_command
from orchestrator.results import open_stored
from orchestrator.store.row_names import FileId

pytestmark = pytest.mark.timeout(1800)

JOB = """
name: {name}
data: {{train: data.py:load}}
learner: {{kind: function, function: data.py:losses, deterministic: true}}
campaigns:
  - {{design: bernoulli, probability: 0.5, retrains: 120}}
values: [banzhaf]
store: {{tracking_uri: "{address}"}}
cluster: {{address: in_process}}
"""
CODE = """
import os, time
import numpy as np
from sklearn.datasets import load_breast_cancer

def load():
    X, y = load_breast_cancer(return_X_y=True)
    return {"X": X[:40], "y": y[:40], "X_test": X[300:310], "y_test": y[300:310]}

def losses(members, seed, *, folder=None):
    time.sleep(float(os.environ.get("SECONDS_A_RETRAIN", "0")))
    centre = (np.sin(np.arange(members.size) + 1.0) * members).sum()
    return {"cross_entropy": np.abs(np.cos(centre + np.arange(10.0))).astype(np.float32)}
"""


@dataclass
class Mode:
    """How a job is written and read in one mode. environment: what commands need."""

    name: str
    folder: Path
    address: str
    environment: dict[str, str]
    cloud: Cloud | None
    said: list[str] = field(default_factory=list)

    def job(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        (folder / "data.py").write_text(CODE, encoding="utf-8")
        (folder / "job.yaml").write_text(JOB.format(name=name, address=self.address), encoding="utf-8")
        if self.cloud is None:
            (folder / "apportion.db").write_bytes((self.folder / "template.db").read_bytes())
        return folder / "job.yaml"

    def chunk_count(self, job: Path) -> int:
        if self.cloud is None:
            return len(list(job.parent.rglob("0*.parquet")))
        listed = self.cloud.bucket.client().list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sum(
            each["Key"].rpartition("/")[2].startswith("0") for each in listed
        )  # lists of identities are no chunks

    def spoil(self, name: str) -> None:
        """Flip one bit in the middle of a chunk."""

        def flipped(content: bytes) -> bytes:
            half = len(content) // 2
            return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]

        if self.cloud is None:
            [path] = self.folder.rglob(name)
            path.write_bytes(flipped(path.read_bytes()))
            return
        client = self.cloud.bucket.client()
        [key] = [key for key in self.cloud.bucket.objects() if key.endswith(name)]
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        client.put_object(Bucket=BUCKET, Key=key, Body=flipped(body))

    def start(self, command: str, job: Path, **more: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "orchestrator", command, str(job)]
        with (job.parent / "log.txt").open("ab") as log:
            return subprocess.Popen(
                words, env={**os.environ, **more}, stdout=log, stderr=log, cwd=job.parent, start_new_session=True
            )


@pytest.fixture(params=["folder", pytest.param("server", marks=pytest.mark.slow)])
def mode(request, tmp_path, template_database, monkeypatch):
    if request.param == "folder":
        (tmp_path / "template.db").write_bytes(template_database.read_bytes())
        yield Mode("folder", tmp_path, "sqlite:///apportion.db", {}, None)
        return
    if reason := why_no_cloud():
        pytest.skip(reason)
    cloud = request.getfixturevalue("cloud")
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    yield Mode("server", tmp_path, cloud.server.address, cloud.environment, cloud)


def bits(job: Path) -> tuple[bytes, bytes]:
    found = open_result(load_job(job)).values("banzhaf")
    return found.values.tobytes(), found.standard_errors.tobytes()


def asked_by_hand(job: Path) -> dict[str, float]:
    """What the question of the suite answers, from the arrays of the Python API."""
    table = open_result(load_job(job)).store
    drawn, inside = table.where(size=(1, 39)), table.where(size=(1, 39), containing=[3])
    total = table.losses(size=(1, 39), test=5)["loss"].to_numpy().sum(dtype=np.float64)
    return {"rows": int(drawn.sum()), "inside": int(inside.sum()), "total": pytest.approx(total)}


@pytest.fixture(scope="module")
def wanted(template_database, tmp_path_factory) -> tuple[bytes, bytes]:
    """The bits of an undisturbed run in a folder."""
    folder = tmp_path_factory.mktemp("wanted")
    (folder / "template.db").write_bytes(template_database.read_bytes())
    job = Mode("folder", folder, "sqlite:///apportion.db", {}, None).job("wanted")
    assert run_command(["run", str(job)]) == 0
    return bits(job)


def test_a_campaign_is_carried_out_read_extended_and_reported(mode, wanted, capfd):
    job = mode.job("whole")
    assert run_command(["run", str(job)]) == 0
    assert bits(job) == wanted
    chunks = mode.chunk_count(job)
    capfd.readouterr()
    assert run_command(["run", str(job)]) == 0
    assert "122 of 122 retrains are in the store already" in capfd.readouterr().err
    assert mode.chunk_count(job) == chunks
    job.write_text(job.read_text(encoding="utf-8").replace("retrains: 120", "retrains: 150"), encoding="utf-8")
    assert run_command(["run", str(job)]) == 0
    assert "122 of 152 retrains are in the store already" in capfd.readouterr().err
    assert run_command(["verify", str(job)]) == 0
    assert "all whole" in capfd.readouterr().out
    question = "select count(*) as rows, sum(case when has(3) then 1 else 0 end) as inside, sum(loss_at(5)) as total"
    answer = job.parent / "answer.parquet"
    assert (
        run_command(["query", str(job), f"{question} from retrains where size between 1 and 39", "-o", str(answer)])
        == 0
    )
    assert parquet.read_table(answer).to_pylist() == [asked_by_hand(job)]
    report = job.parent / "whole-report.html"
    report.unlink()
    assert run_command(["report", str(job)]) == 0
    assert "Banzhaf" in report.read_text(encoding="utf-8")
    assert run_command(["status", str(job)]) == 0
    assert "152 of 152 retrains" in capfd.readouterr().out
    assert run_command(["explain", str(job), "--test", "3"]) == 0
    assert "proponents" in capfd.readouterr().out


def test_a_driver_killed_in_mid_campaign_is_resumed_to_the_same_bits(mode, wanted):
    job = mode.job("killed")
    before = mode.chunk_count(job)
    process = mode.start("run", job, SECONDS_A_RETRAIN="0.05")
    deadline = time.monotonic() + 120
    while mode.chunk_count(job) < before + 2:
        assert process.poll() is None, (job.parent / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    stored = mode.chunk_count(job)
    assert run_command(["resume", str(job)]) == 0
    assert bits(job) == wanted
    assert mode.chunk_count(job) > stored


def test_a_damaged_chunk_is_found_set_aside_and_its_rows_alone_are_trained_again(mode, wanted, capfd):
    job = mode.job("damaged")
    assert run_command(["run", str(job)]) == 0
    stored = open_stored(load_job(job))
    chunks = stored.store.chunks.stores[stored.runs[0].campaign_id]
    victim, *others = [name for name in chunks.names() if name.startswith("0")]
    mode.spoil(victim)
    capfd.readouterr()
    assert run_command(["verify", str(job)]) == 5
    assert victim in capfd.readouterr().out
    for command in ("query", "values"):
        words = ["select avg(loss_at(5)) from retrains"] if command == "query" else ["--value", "banzhaf"]
        assert run_command([command, str(job), *words]) == 5
    assert "--repair" in capfd.readouterr().err
    assert run_command(["verify", str(job), "--repair"]) == 0
    assert f"quarantine/{victim}" in capfd.readouterr().out
    assert run_command(["resume", str(job)]) == 0
    lost = 122 - sum(stored.store.file_facts()[FileId(name, stored.runs[0].campaign_id)].rows for name in others)
    assert f"{122 - lost} of 122 retrains are in the store already" in capfd.readouterr().err
    assert run_command(["verify", str(job)]) == 0
    assert bits(job) == wanted


def test_losses_of_a_loop_elsewhere_are_taken_in_and_kept_like_trained_ones(mode, capfd):
    job = mode.job("imported")
    rng = np.random.default_rng(3)
    members, law = rng.random((30, 40)) < 0.5, np.full(41, -40 * np.log(2.0))
    law += np.concatenate([[0.0], np.cumsum(np.log(np.arange(40, 0, -1) / np.arange(1, 41)))])
    losses = rng.random((30, 10)).astype(np.float32)
    np.savez(job.parent / "members.npz", members=members, log_size_law=law)
    np.savez(job.parent / "losses.npz", cross_entropy=losses)
    text = job.read_text(encoding="utf-8")
    own = "{design: subsets_from_file, file: members.npz}"
    job.write_text(text.replace("{design: bernoulli, probability: 0.5, retrains: 120}", own), encoding="utf-8")
    words = ["import", str(job), str(job.parent / "members.npz"), str(job.parent / "losses.npz")]
    assert run_command(words) == 0
    assert "30 rows taken in" in capfd.readouterr().out
    assert run_command(words) == 0
    assert "0 rows taken in, 30 were in the store already" in capfd.readouterr().out
    assert run_command(["run", str(job)]) == 0
    assert "30 of 32 retrains are in the store already" in capfd.readouterr().err
    assert run_command(["verify", str(job)]) == 0
    [campaign] = open_result(load_job(job)).campaigns
    np.testing.assert_array_equal(next(campaign.retrains("cross_entropy", 0, 30)).losses, losses)


def test_no_planted_secret_is_in_what_a_campaign_leaves(mode, capfd):
    if mode.cloud is None:
        pytest.skip("a folder has no secrets")
    job = mode.job("secretive")
    for command in ("plan", "run", "status", "report", "resume", "verify"):
        assert run_command([command, str(job)]) == 0
    assert run_command(["query", str(job), "select * from campaigns"]) == 0
    printed = capfd.readouterr()
    texts = {"output": (printed.out + printed.err).encode()}
    texts |= {str(path): path.read_bytes() for path in job.parent.rglob("*") if path.is_file()}
    texts |= mode.cloud.bucket.objects()
    texts["database"] = _dump(mode.cloud)
    assert any(name.endswith(".parquet") for name in texts)
    assert b"apportion.fingerprint.train" in texts["database"]
    found = [(name, secret) for name, text in texts.items() for secret in SECRETS if secret.encode() in text]
    assert not found


def _dump(cloud: Cloud) -> bytes:
    import psycopg

    address = cloud.postgres.address.replace("+psycopg", "")
    rows: list[object] = []
    with psycopg.connect(address) as connection:
        for table in ("experiments", "experiment_tags", "runs", "tags", "params", "metrics", "datasets", "inputs"):
            rows += connection.execute(psycopg.sql.SQL("select * from {}").format(psycopg.sql.Identifier(table)))
    return json.dumps(rows, default=str).encode()


def test_values_of_both_modes_are_the_same_numbers(mode, wanted, tmp_path):
    job = mode.job("exported")
    assert run_command(["run", str(job)]) == 0
    file = tmp_path / "banzhaf.npz"
    assert run_command(["values", str(job), "--value", "banzhaf", "-o", str(file)]) == 0
    with np.load(file, allow_pickle=False) as arrays:
        assert arrays["values"].tobytes() == wanted[0]
