"""PostgreSQL, an S3 server, and an MLflow server with accounts over both, all on loopback ports of the tests' own."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fixtures_server import MlflowServer, with_accounts

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
USER, PASSWORD = "owner", "s3cret-of-the-server"
DATABASE_PASSWORD, KEY_ID, SECRET_KEY = "s3cret-of-the-database", "AKIAPLANTED0000000", "s3cret-of-the-bucket"
SECRETS = (PASSWORD, DATABASE_PASSWORD, SECRET_KEY)
BUCKET = "losses"
SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Postgres:
    """A private cluster; as root it runs under Debian's account `postgres`, since it refuses root."""

    def __init__(self) -> None:
        self.binaries, self.port = BINARIES[-1], free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="apportion-postgres-"))
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user:
            os.chown(self.folder, pwd.getpwnam(self._user).pw_uid, -1)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"postgresql+psycopg://{USER}:{DATABASE_PASSWORD}@127.0.0.1:{self.port}/mlflow"

    def make(self) -> "Postgres":
        password = self.folder / "password"
        password.write_text(DATABASE_PASSWORD, encoding="utf-8")
        password.chmod(0o644)
        words = ["-D", str(self.folder / "data"), "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "-N"]
        self._call("initdb", *words)
        self.start()
        self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "mlflow")
        return self

    def start(self) -> None:
        words = ["-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder)]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binaries / "postgres"), *words],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while subprocess.run(
            [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, name: str, *words: str) -> None:
        environment = {**os.environ, "PGPASSWORD": DATABASE_PASSWORD}
        done = subprocess.run(
            [str(self.binaries / name), *words],
            capture_output=True,
            text=True,
            user=self._user,
            cwd=self.folder,
            env=environment,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


class Bucket:
    """An S3 server (moto) with one bucket."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        with (folder / "s3.log").open("ab") as log:
            words = ["-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
            self.process = subprocess.Popen(
                [sys.executable, *words], stdout=log, stderr=log, start_new_session=True, env={**os.environ, **KEYS}
            )
        deadline = time.monotonic() + 60
        while not self._made():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self):
        import boto3

        return boto3.client(
            "s3", endpoint_url=self.address, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET_KEY, region_name="x"
        )

    def objects(self) -> dict[str, bytes]:
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def _made(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "x"})
        except (BotoCoreError, ClientError):
            return False
        return True

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


KEYS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": "x"}


@dataclass
class Faults:
    """Of each kind, how often a request meets it, drawn by a seed; counts what was done."""

    slow_down: float = 0.0
    reset: float = 0.0
    lost_reply: float = 0.0
    seed: int = 1
    done: dict[str, int] = field(default_factory=lambda: {"slow_down": 0, "reset": 0, "lost_reply": 0, "none": 0})

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()

    def draw(self) -> str:
        with self._lock:
            drawn, kind = self._random.random(), "none"
            for name in ("slow_down", "reset", "lost_reply"):
                if drawn < getattr(self, name):
                    kind = name
                    break
                drawn -= getattr(self, name)
            self.done[kind] += 1
            return kind


class FaultyProxy:
    """Between the MLflow server and the bucket: answers 503, breaks off before, or after the request was passed on."""

    def __init__(self, target_port: int, faults: Faults) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                content = _body(self)
                fault = faults.draw()
                if fault == "slow_down":
                    self._answer(503, "Slow Down", [("Content-Type", "application/xml")], SLOW_DOWN)
                    return
                if fault == "reset":
                    self.close_connection = True
                    return
                status, reason, headers, answer = _forwarded(self, content, target_port)
                if fault == "lost_reply":
                    self.close_connection = True
                    return
                self._answer(status, reason, headers, answer)

            def _answer(self, status: int, reason: str, headers: list[tuple[str, str]], answer: bytes) -> None:
                self.send_response(status, reason)
                for name, value in headers:
                    if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                        self.send_header(name, value)
                length = {n.lower(): v for n, v in headers}.get("content-length", str(len(answer)))
                self.send_header("Content-Length", length if self.command == "HEAD" else str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _pass_on  # noqa: N815 - the names that http.server calls

            def log_message(self, *words: object) -> None:
                pass

        self.faults = faults
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Expect", "").lower() == "100-continue":
        handler.send_response_only(100)
        handler.end_headers()
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        parts = []
        while size := int(handler.rfile.readline().split(b";")[0], 16):
            parts.append(handler.rfile.read(size))
            handler.rfile.readline()
        while handler.rfile.readline().strip():
            pass
        return b"".join(parts)
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def _forwarded(
    handler: BaseHTTPRequestHandler, content: bytes, port: int
) -> tuple[int, str, list[tuple[str, str]], bytes]:
    skipped = {"expect", "transfer-encoding", "content-length", "connection"}
    headers = {name: value for name, value in handler.headers.items() if name.lower() not in skipped}
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(handler.command, handler.path, body=content, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.reason, answer.getheaders(), answer.read()
    except (OSError, HTTPException):
        return 502, "Bad Gateway", [], b""
    finally:
        connection.close()


@dataclass
class Cloud:
    """The whole of it. environment: what a driver and its workers need, credentials included."""

    postgres: Postgres
    bucket: Bucket
    proxy: FaultyProxy
    server: MlflowServer
    environment: dict[str, str]


def make_cloud(folder: Path, faults: Faults) -> Iterator[Cloud]:
    """Start everything; end everything by process id."""
    postgres, bucket = Postgres(), None
    proxy = server = None
    try:
        postgres.make()
        bucket = Bucket(folder / "bucket")
        proxy = FaultyProxy(bucket.port, faults)
        server = _server(folder / "server", postgres, proxy).start()
        known = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        yield Cloud(postgres, bucket, proxy, server, known)
    finally:
        if server is not None:
            server.kill()
        if proxy is not None:
            proxy.close()
        if bucket is not None:
            bucket.kill()
        postgres.remove()


def _server(folder: Path, postgres: Postgres, proxy: FaultyProxy) -> MlflowServer:
    options, known = with_accounts(folder, USER, PASSWORD)
    return MlflowServer(
        folder,
        *options,
        backend=postgres.address,
        artifacts=f"s3://{BUCKET}/jobs",
        MLFLOW_S3_ENDPOINT_URL=proxy.address,
        **known,
        **KEYS,
    )


def why_no_cloud() -> str:
    """What is missing here for PostgreSQL, S3 and accounts; an empty text where nothing is."""
    if not BINARIES:
        return "no PostgreSQL on this machine; .ci/run installs it"
    for module, extra in (("psycopg", "psycopg[binary]"), ("moto", "moto[server]"), ("flask_wtf", "mlflow[auth]")):
        try:
            __import__(module)
        except ImportError:
            return f"{extra} is not installed (the test extra `server`)"
    return ""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """PostgreSQL, a bucket and an MLflow server with accounts, one a module; nothing fails by itself."""
    reason = why_no_cloud()
    if reason:
        pytest.skip(reason)
    yield from make_cloud(tmp_path_factory.mktemp("cloud"), Faults())
