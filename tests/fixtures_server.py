"""A real `mlflow server` on a loopback port: SQLite below, artifacts through its proxy. One a session, or one's own."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "true"}


class MlflowServer:
    """Can be killed and started again on the same port. options: more words of the command.

    backend, artifacts: where it keeps runs and files; its own folder unless said.
    """

    def __init__(self, folder: Path, *options: str, backend: str = "", artifacts: str = "", **environment: str) -> None:
        self.folder, self._options, self._environment = folder, options, environment
        self._backend, self._destination = backend, artifacts
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def artifacts(self) -> Path:
        return self.folder / "a"

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    def start(self) -> "MlflowServer":
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        backend = self._backend or f"sqlite:///{self.folder}/server.db"
        store = ["--backend-store-uri", backend, "--artifacts-destination"]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "mlflow",
                    *words,
                    *store,
                    self._destination or str(self.artifacts),
                    *self._options,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | QUIET | self._environment,
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                requests.get(f"{self.address}/health", timeout=1)
            except requests.RequestException:
                assert time.monotonic() < deadline, self.log[-2000:]
                assert self.process.poll() is None, self.log[-2000:]
                time.sleep(0.1)
            else:
                return self

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


def with_accounts(folder: Path, user: str, password: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """More words and environment of a server that asks who one is, and lets one account write."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "default_permission": "READ",
        "database_uri": f"sqlite:///{folder}/accounts.db",
        "admin_username": user,
        "admin_password": password,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    lines = "\n".join(["[mlflow]", *(f"{name} = {value}" for name, value in settings.items())])
    (folder / "accounts.ini").write_text(lines + "\n", encoding="utf-8")
    known = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "accounts.ini")}
    return ("--app-name", "basic-auth"), known | {"MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16)}


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory):
    """The session's one server, without accounts; nothing may stop it."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def own_server(tmp_path: Path):
    """A server of the test's own, which it may kill and start again."""
    server = MlflowServer(tmp_path / "server")
    try:
        yield server.start()
    finally:
        server.kill()
