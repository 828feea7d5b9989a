import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from mlflow import MlflowClient

from orchestrator.errors import ResourceMissing
from orchestrator.jobs.job import StoreSpec
from orchestrator.tracking.artifacts import ServerArtifacts
from orchestrator.tracking.journal import Journal, Pace
from orchestrator.tracking.place import ServerPlace
from orchestrator.tracking.probe import ask_server
from orchestrator.tracking.tracker import Tracker

SECRETS = ("ann", "s3cret", "t0ken", "k3y")
HTML = (200, "text/html", b"<html><body>Welcome</body></html>")
ABSENT = (404, "application/json", b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}')


@pytest.fixture
def stub(monkeypatch):
    """Starts servers that give one answer to everything; returns their host:port."""
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    servers, done = [], threading.Event()

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self, done)

            do_POST = do_GET  # noqa: N815 - the name that http.server calls

            def log_message(self, *words):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"127.0.0.1:{server.server_port}"

    yield start
    done.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def fixed(status, kind, body, **headers):
    def answer(request, done):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def hang(request, done):
    done.wait(30)


def drip(request, done):
    request.send_response(200)
    request.end_headers()
    while not done.wait(0.1):
        try:
            request.wfile.write(b" ")
        except OSError:
            return


def opened(address, folder):
    return Tracker.open(StoreSpec(tracking_uri=address), folder, "job", say=lambda text: None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            fixed(401, "text/plain", b"who are you, ann:s3cret?"),
            ["(401)", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"],
        ),
        (fixed(403, "text/plain", b"Invalid Host header"), ["(403)", "--allowed-hosts"]),
        (fixed(404, "text/html", b"<html>not found s3cret</html>"), ["(404)", "check the address"]),
        (fixed(404, "application/json", b'{"detail": "Not Found"}'), ["(404)"]),
        (fixed(500, "text/plain", b"oops s3cret"), ["status 500", "log"]),
        (fixed(503, "text/html", b"<html>later</html>"), ["status 503"]),
        (fixed(*HTML), ["web page", "no MLflow"]),
        (fixed(200, "application/json", b"[1, 2]"), ["something else", "no MLflow"]),
        (fixed(200, "application/json", b""), ["no MLflow"]),
        (fixed(302, "text/plain", b"", Location="/login?key=k3y"), ["sends on to http://127.0.0.1", "/login\n"]),
    ],
)
def test_a_server_that_is_no_use_is_refused_with_the_reason_and_no_secret(stub, tmp_path, capfd, answer, words):
    start = time.monotonic()
    with pytest.raises(ResourceMissing) as caught:
        opened(f"http://ann:s3cret@{stub(answer)}/?token=t0ken", tmp_path)
    assert time.monotonic() - start < 10
    text = str(caught.value)
    assert not [word for word in words if word not in text]
    assert caught.value.problems[0].mend
    printed = capfd.readouterr()
    assert not [secret for secret in SECRETS for where in (text, printed.out, printed.err) if secret in where]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [hang, drip])
def test_a_server_that_hangs_is_given_up_in_time(stub, answer):
    start = time.monotonic()
    with pytest.raises(ResourceMissing, match="does not answer"):
        ask_server(ServerPlace(f"http://{stub(answer)}"), "job", seconds=1.5)
    assert time.monotonic() - start < 3


def test_a_server_that_is_down_or_does_not_exist_is_said_to_be(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(ResourceMissing, match="Connection refused"):
        opened(f"http://127.0.0.1:{port}", tmp_path)
    with pytest.raises(ResourceMissing, match=r"cannot be reached|does not answer"):
        opened("http://no-such-host.invalid:5000", tmp_path)
    assert time.monotonic() - start < 20


def test_a_server_without_encryption_asked_for_it_is_said_to_be(stub, tmp_path):
    with pytest.raises(ResourceMissing, match="safely"):
        opened(f"https://{stub(fixed(*ABSENT))}", tmp_path)


@pytest.mark.parametrize(
    "location", ["s3://ann:s3cret@bucket/1", "/srv/mlruns/1", "file:///srv/mlruns/1", "./mlruns/1"]
)
def test_a_server_that_does_not_serve_artifacts_itself_is_refused(stub, tmp_path, location):
    experiment = {"experiment_id": "1", "name": "job", "artifact_location": location, "lifecycle_stage": "active"}
    body = json.dumps({"experiment": experiment, "experiments": [experiment]}).encode()
    with pytest.raises(ResourceMissing, match="--serve-artifacts") as caught:
        opened(f"http://{stub(fixed(200, 'application/json', body))}", tmp_path)
    assert "s3cret" not in str(caught.value)


def test_the_password_of_an_address_reaches_the_server_and_nothing_else(stub, tmp_path, monkeypatch):
    seen = []

    def answer(request, done):
        seen.append(request.headers.get("Authorization"))
        fixed(*ABSENT)(request, done)

    ask = f"http://ann:s3cret@{stub(answer)}"
    with pytest.raises(ResourceMissing):
        opened(ask, tmp_path)
    assert seen[0] == requests.auth._basic_auth_str("ann", "s3cret")
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")


@pytest.mark.parametrize(
    "answer",
    [
        fixed(401, "text/plain", b"You are not authenticated"),
        fixed(403, "application/json", b'{"error_code": "PERMISSION_DENIED", "message": "http://ann:s3cret@host"}'),
        fixed(404, "text/html", b"<html>the proxy knows nothing</html>"),
        fixed(*HTML),
    ],
)
def test_a_server_that_refuses_in_mid_campaign_makes_metrics_wait_and_says_so_once(stub, tmp_path, answer):
    place = ServerPlace(f"http://{stub(answer)}")
    client = MlflowClient(tracking_uri=place.tracking_uri, registry_uri=place.tracking_uri)
    tracker = Tracker(client, place, "1", job="job", artifacts=ServerArtifacts(client, place))
    said = []
    journal = Journal.open(tmp_path, tracker.send, say=said.append, pace=Pace(every=0.02, longest=0.05))
    journal.note("r", 1, {"a": 1.0})
    time.sleep(0.3)
    assert journal.close(timeout=0.2) == 1
    assert len(said) == 1
    assert place.tracking_uri in said[0]
    assert "s3cret" not in said[0]


@pytest.mark.slow
def test_a_own_server_may_be_killed_and_come_back_without_losing_a_metric(own_server, tmp_path, fingerprints):
    tracker = opened(own_server.address, tmp_path)
    said = []
    with tracker.lease() as lease:
        parent = tracker.job_run(fingerprints=fingerprints)
        run = tracker.campaign_run("c-1", name="uniform", parent=parent, parameters={"n": 3})
        assert run.chunks_address.startswith(f"mlflow-artifacts+{own_server.address}/")
        tracker.put(run.run_id, "report/page.html", "<b>")
        assert tracker.get(run.run_id, "report/page.html") == b"<b>"
        assert tracker.get(run.run_id, "report/none.html") is None
        journal = Journal.open(tmp_path / "journal", tracker.send, say=said.append, pace=Pace(every=0.2, longest=1.0))
        for step in range(1, 101):
            journal.note(run.run_id, step, {"a": float(step)})
            if step == 30:
                time.sleep(1)
                own_server.kill()
            time.sleep(0.01)
        with pytest.raises(ResourceMissing):
            tracker.find_job_run()
        assert journal.unsent() > 0
        time.sleep(6)
        assert not lease.lost()
        own_server.start()
        assert journal.close(timeout=30) == 0
        assert [("away" in text, "back" in text) for text in said] == [(True, False), (False, True)]
        assert "127.0.0.1" in said[0]
        history = tracker._client.get_metric_history(run.run_id, "a")
        assert sorted(metric.step for metric in history) == list(range(1, 101))
        tracker.finish(run.run_id, "FINISHED")
    assert opened(own_server.address, tmp_path).campaign_runs()[0].status == "FINISHED"
