"""A job against a real `mlflow server`: the same file, with `store.tracking_uri` set; chunks through its proxy."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import requests
from mlflow import MlflowClient

from orchestrator.cli import run_command

JOB = """
name: {name}
data: {{train: data.py:load}}
learner: {{kind: function, function: data.py:losses, deterministic: true}}
campaigns:
  - {{design: bernoulli, probability: 0.5, retrains: {retrains}}}
store: {{tracking_uri: "{address}"}}
cluster: {{address: in_process}}
"""
CODE = """
import numpy as np
from sklearn.datasets import load_breast_cancer

def load():
    X, y = load_breast_cancer(return_X_y=True)
    return {"X": X[:40], "y": y[:40], "X_test": X[300:310], "y_test": y[300:310]}

def losses(members, seed, *, folder=None):
    centre = (np.sin(np.arange(members.size) + 1.0) * members).sum()
    return {"cross_entropy": np.abs(np.cos(centre + np.arange(10.0))).astype(np.float32)}
"""
SECRETS = ("s3cret-pass", "t0ken-env")


@pytest.fixture
def job(tmp_path: Path):
    def written(name: str, address: str, retrains: int = 40) -> str:
        folder = tmp_path / "job"
        folder.mkdir(exist_ok=True)
        (folder / "data.py").write_text(CODE, encoding="utf-8")
        path = folder / "job.yaml"
        path.write_text(JOB.format(name=name, address=address, retrains=retrains), encoding="utf-8")
        return str(path)

    return written


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(variable, "")  # so that what the driver sets is undone
        monkeypatch.delenv(variable)


@pytest.fixture
def below_a_path(mlflow_server):
    """A reverse proxy that serves the session's server below /team/mlflow, and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            inside = self.path.removeprefix("/team/mlflow/")
            if inside == self.path:
                self.send_error(404)
                return
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: self.headers[name] for name in ("Content-Type", "Range") if name in self.headers}
            url = f"{mlflow_server.address}/{inside}"
            answer = requests.request(self.command, url, data=content, headers=headers, timeout=30)
            self.send_response(answer.status_code)
            for name in ("Content-Type", "Content-Range"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - the names that http.server calls

        def log_message(self, *words: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}/team/mlflow"
    proxy.shutdown()
    proxy.server_close()


def values(job: str, file: Path) -> dict[str, np.ndarray]:
    assert run_command(["values", job, "--value", "banzhaf", "--format", "npz", "-o", str(file)]) == 0
    return dict(np.load(file))


def files_of(server, name: str) -> dict[str, bytes]:
    """Files of a job's runs as the server keeps them, by the path inside the run."""
    experiment = MlflowClient(server.address).get_experiment_by_name(name).experiment_id
    runs = [path for path in (server.artifacts / experiment).iterdir() if path.is_dir()]
    return {
        str(path.relative_to(run / "artifacts")): path.read_bytes()
        for run in runs
        for path in run.rglob("*")
        if path.is_file()
    }


def test_a_job_runs_and_is_read_again_with_everything_kept_by_the_server(mlflow_server, job, tmp_path, capfd):
    path = job("proxied", mlflow_server.address)
    assert run_command(["run", path]) == 0
    kept = files_of(mlflow_server, "proxied")
    assert {"job.yaml", "report.html", "chunks/plan.json"} <= set(kept)
    chunks = {name for name in kept if name.startswith("chunks/0")}
    assert chunks
    assert kept["report.html"] == (Path(path).parent / "proxied-report.html").read_bytes()
    assert not list(tmp_path.rglob("*.parquet"))
    assert not list(tmp_path.rglob("*.db"))
    first = values(path, tmp_path / "first.npz")
    capfd.readouterr()
    assert run_command(["run", path]) == 0
    assert "42 of 42 retrains are in the store already" in capfd.readouterr().err
    assert {name for name in files_of(mlflow_server, "proxied") if name.startswith("chunks/0")} == chunks
    assert run_command(["status", path]) == 0
    assert "42 of 42 retrains" in capfd.readouterr().out
    second = values(path, tmp_path / "second.npz")
    assert first["values"].tobytes() == second["values"].tobytes()
    [parent] = MlflowClient(mlflow_server.address).search_runs(
        [MlflowClient(mlflow_server.address).get_experiment_by_name("proxied").experiment_id],
        filter_string="tags.`apportion.kind` = 'job'",
    )
    assert parent.info.status == "FINISHED"


def test_a_server_below_a_path_takes_chunks_and_gives_them_back(mlflow_server, below_a_path, job, capfd):
    assert run_command(["run", job("prefixed", below_a_path)]) == 0
    assert any(name.startswith("chunks/0") for name in files_of(mlflow_server, "prefixed"))
    capfd.readouterr()
    assert run_command(["run", job("prefixed", below_a_path, retrains=60)]) == 0
    assert "42 of 62 retrains are in the store already" in capfd.readouterr().err


def test_a_secret_in_the_address_or_the_environment_is_nowhere_afterwards(
    mlflow_server, job, tmp_path, capfd, no_credentials, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRETS[1])
    path = job("secretive", mlflow_server.address.replace("://", f"://ann:{SECRETS[0]}@") + f"/?key={SECRETS[1]}")
    for command in (["plan"], ["run"], ["status"], ["report"], ["resume"]):
        assert run_command([command[0], path]) == 0
    Path(path).unlink()
    printed = capfd.readouterr()
    texts = {"output": (printed.out + printed.err).encode()}
    texts |= {str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    texts |= {str(file): file.read_bytes() for file in mlflow_server.folder.rglob("*") if file.is_file()}
    tables = [
        name for name, text in texts.items() if name.endswith(".parquet") and text
    ]  # other tests leave empty ones
    texts |= {f"{name}, schema": schema_of(name) for name in tables}
    assert sum(name.endswith(", schema") for name in texts) >= 3
    found = [(name, secret) for name, text in texts.items() for secret in SECRETS if secret.encode() in text]
    assert not found


def schema_of(file: str) -> bytes:
    """A chunk's metadata in clear text; Arrow keeps its own part of it in base64."""
    metadata = pq.read_metadata(file).metadata or {}
    return b"\n".join([*metadata.values(), base64.b64decode(metadata.get(b"ARROW:schema", b""))])
