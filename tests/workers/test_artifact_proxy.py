"""Chunks behind an artifact proxy that misbehaves on purpose; MLflow's own is in test_artifact_proxy_mlflow."""

import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from chunk_examples import named_example

from workers.chunk_file import decode, decode_keys
from workers.errors import StoreError
from workers.stores import open_chunk_store
from workers.stores.artifact_proxy import ROUTE, ArtifactProxyStore
from workers.stores.http_calls import HttpCalls, Patience

NAME = "0000001-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet"
QUICK = Patience(tries=6, connect_seconds=2.0, read_seconds=0.5, first_wait=0.25)


class Proxy:
    """What a stub server holds and does: `trouble(request)` may answer in place of the proxy."""

    def __init__(self):
        self.files, self.seen, self.trouble, self.ranges = {}, [], lambda request: False, True
        self.lock = threading.Lock()


def handler(proxy):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self, status, body=b"", **headers):
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self.note()
            if not proxy.trouble(self):
                proxy.files[self.path] = content
                self.answer(200)

        def do_GET(self):
            self.note()
            if proxy.trouble(self):
                return
            parts = urlsplit(self.path)
            if parts.path.endswith(ROUTE):
                below = f"{parts.path}/{parse_qs(parts.query)['path'][0]}/"
                found = [path.removeprefix(below) for path in proxy.files if path.startswith(below)]
                listed = [{"path": name, "is_dir": False} for name in found] + [{"path": "sub", "is_dir": True}]
                self.answer(200, json.dumps({"files": listed}).encode())
            elif self.path not in proxy.files:
                self.answer(404)
            else:
                self.part(proxy.files[self.path])

        def part(self, content):
            asked = self.headers.get("Range", "").removeprefix("bytes=") if proxy.ranges else ""
            if not asked:
                return self.answer(200, content)
            if not content:
                return self.answer(416, Content_Range="bytes */0")
            first, _, last = asked.partition("-")
            start = int(first) if first else max(0, len(content) - int(last))
            end = min(len(content), int(last) + 1) if first else len(content)
            return self.answer(206, content[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(content)}")

        def note(self):
            with proxy.lock:
                proxy.seen.append((self.command, self.path, dict(self.headers)))

        def log_message(self, *words):
            pass

    return Handler


@pytest.fixture
def proxy():
    stub = Proxy()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(stub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    stub.host = f"127.0.0.1:{server.server_port}"
    yield stub
    server.shutdown()
    thread.join()
    server.server_close()


def store_of(proxy, path="1/run/artifacts/chunks", slept=None, patience=QUICK):
    waits = [] if slept is None else slept
    return ArtifactProxyStore(
        f"mlflow-artifacts+http://{proxy.host}/{path}", calls=HttpCalls(patience, sleep=waits.append)
    )


def failing(times, **answer):
    """Answer `times` requests with `answer(status)`, then leave the rest to the proxy."""
    left = [times]

    def trouble(request):
        if left[0] == 0:
            return False
        left[0] -= 1
        request.answer(answer["status"])
        return True

    return trouble


def test_a_chunk_comes_back_and_is_listed(proxy):
    store = store_of(proxy)
    name, content = named_example()
    store.put(name, content)
    store.put(name, content)
    store.put("plan.json", b"{}")
    assert store.names() == sorted([name, "plan.json"])
    assert store.get(name) == content
    assert next(iter(proxy.files)) == f"{ROUTE}/1/run/artifacts/chunks/{name}"


def test_its_address_opens_it_again_on_a_server_below_a_path_too(proxy):
    for path in ("1/run/artifacts/chunks", f"prefix{ROUTE}/1/run/artifacts/chunks"):
        store = store_of(proxy, path)
        store.put("plan.json", path.encode())
        again = open_chunk_store(store.address)
        assert again.address == store.address
        assert again.get("plan.json") == path.encode()
    assert [*proxy.files] == [
        f"{ROUTE}/1/run/artifacts/chunks/plan.json",
        f"/prefix{ROUTE}/1/run/artifacts/chunks/plan.json",
    ]


def test_a_file_without_a_hash_in_its_name_is_not_overwritten(proxy):
    store = store_of(proxy)
    store.put("plan.json", b"{}")
    store.put("plan.json", b"{}")
    assert [call[0] for call in proxy.seen].count("PUT") == 1
    with pytest.raises(StoreError, match="another content"):
        store.put("plan.json", b"other")
    assert store.get("plan.json") == b"{}"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_passing_trouble_is_asked_again_with_growing_spread_waits(proxy, status):
    slept = []
    store = store_of(proxy, slept=slept)
    proxy.trouble = failing(4, status=status)
    store.put(NAME, b"content")
    assert store.get(NAME) == b"content"
    assert len(slept) == 4
    assert all(whole / 2 <= wait <= whole for wait, whole in zip(slept, (0.25, 0.5, 1.0, 2.0), strict=True))


def test_lasting_trouble_ends_after_bounded_tries(proxy):
    slept = []
    proxy.trouble = failing(1000, status=503)
    with pytest.raises(StoreError, match=r"503.*6 times"):
        store_of(proxy, slept=slept).put(NAME, b"content")
    assert len(proxy.seen) == 6
    assert sum(slept) < 20


def cut(request):
    request.close_connection = True
    request.connection.close()
    return True


def half(request):
    request.send_response(200)
    request.send_header("Content-Length", "100")
    request.end_headers()
    request.wfile.write(b"half")
    request.wfile.flush()
    return cut(request)


def hang(request):
    time.sleep(0.8)
    return cut(request)


@pytest.mark.parametrize("break_off", [cut, half, hang])
def test_a_connection_that_breaks_or_hangs_is_tried_again(proxy, break_off):
    store = store_of(proxy)
    proxy.files[f"{ROUTE}/1/run/artifacts/chunks/{NAME}"] = b"content"
    left = [2]

    def trouble(request):
        left[0] -= 1
        return break_off(request) if left[0] >= 0 else False

    proxy.trouble = trouble
    assert store.get(NAME) == b"content"
    assert len(proxy.seen) == 3


def test_a_put_whose_answer_was_lost_is_put_again_harmlessly(proxy):
    store = store_of(proxy)
    lost = [True]

    def stored_but_silent(request):
        if request.command == "PUT" and lost.pop() if lost else False:
            proxy.files[request.path] = b"content"
            return cut(request)
        return False

    proxy.trouble = stored_but_silent
    store.put(NAME, b"content")
    assert [call[0] for call in proxy.seen] == ["PUT", "PUT"]
    assert store.names() == [NAME]


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_puts_through_a_flaky_server_lose_nothing(proxy, seed):
    drawn = random.Random(seed)
    store = store_of(proxy, patience=Patience(tries=12, read_seconds=5.0))

    def trouble(request):
        with proxy.lock:
            luck = drawn.random()
        if luck < 0.2:
            request.answer(503)
        return luck < 0.2 or (luck < 0.25 and cut(request))

    proxy.trouble = trouble
    names = [f"{number:07d}-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet" for number in range(100)]
    for name in names:
        store.put(name, name.encode())
    assert store.names() == names
    assert all(store.get(name) == name.encode() for name in names)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "MLFLOW_TRACKING_TOKEN"), (403, "right"), (404, "--serve-artifacts"), (413, "64 MB")]
)
def test_an_answer_that_stays_is_final_and_says_how_to_mend(proxy, status, words):
    proxy.trouble = failing(1000, status=status)
    store = store_of(proxy)
    for use in (lambda: store.put(NAME, b"x"), lambda: store.get(NAME), store.names):
        proxy.seen.clear()
        with pytest.raises(StoreError, match=f"{status}") as caught:
            use()
        assert words in str(caught.value)
        assert len(proxy.seen) == 1


def test_a_server_that_is_down_is_said_to_be():
    store = ArtifactProxyStore(
        "mlflow-artifacts+http://127.0.0.1:9/1/x", calls=HttpCalls(Patience(tries=2), sleep=lambda wait: None)
    )
    with pytest.raises(StoreError, match=r"no connection, 2 times[\s\S]*server runs"):
        store.names()


def test_something_that_is_no_mlflow_server_is_said_to_be(proxy):
    proxy.trouble = lambda request: request.answer(200, b"<html>welcome</html>") or True
    with pytest.raises(StoreError, match="MLflow server"):
        store_of(proxy).names()
    proxy.trouble = lambda request: request.answer(302, Location="https://u:pw@elsewhere/login?token=abc") or True
    with pytest.raises(StoreError, match="redirected to elsewhere/login") as caught:
        store_of(proxy).names()
    assert "pw" not in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "header"),
    [
        ({"USERNAME": "ann", "PASSWORD": "s3cret"}, "Basic YW5uOnMzY3JldA=="),
        ({"TOKEN": "s3cret"}, "Bearer s3cret"),
        ({"USERNAME": "ann", "PASSWORD": "s3cret", "TOKEN": "other"}, "Basic YW5uOnMzY3JldA=="),
        ({}, None),
    ],
)
def test_credentials_come_from_the_environment_and_stay_out_of_messages(proxy, monkeypatch, variables, header):
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    proxy.trouble = failing(1000, status=500)
    store = store_of(proxy)
    with pytest.raises(StoreError) as caught:
        store.names()
    assert proxy.seen[0][2].get("Authorization") == header
    assert "s3cret" not in f"{caught.value!r} {store!r} {store.address}"


def test_an_address_with_a_password_is_refused_without_showing_it():
    for address in ("http://ann:s3cret@host/1/x", "http://host/1/x?token=s3cret", "http://host/../x", "http://host/"):
        with pytest.raises(StoreError) as caught:
            open_chunk_store(f"mlflow-artifacts+{address}")
        assert "s3cret" not in str(caught.value)


def test_hostile_names_never_reach_the_server(proxy):
    store = store_of(proxy)
    for name in ("../x", "a/b", "", "a?b", "a#b", "%2e%2e", ".x", "a b"):
        for use in (lambda name=name: store.put(name, b"x"), lambda name=name: store.get(name)):
            with pytest.raises(StoreError):
                use()
    assert proxy.seen == []


@pytest.mark.parametrize("ranges", [True, False])
def test_keys_are_read_from_a_part_of_the_file_where_the_server_gives_parts(proxy, ranges):
    store, proxy.ranges = store_of(proxy), ranges
    name, content = named_example(64, n=40, n_test=4000)
    store.put(name, content)
    proxy.seen.clear()
    with store.open(name) as file:
        keys = decode_keys(file, name=name)
        assert file.seek(0, 2) == len(content)
    assert keys.keys == decode(content, name=name).rows.keys
    assert len(content) > 500_000
    assert proxy.seen[0][2].get("Range") == "bytes=-65536"
    assert len(proxy.seen) == (2 if ranges else 1)


def test_any_part_of_a_remote_file_is_the_same_part(proxy):
    store = store_of(proxy)
    content = random.Random(3).randbytes(300_000)
    proxy.files[f"{ROUTE}/1/run/artifacts/chunks/{NAME}"] = content
    drawn = random.Random(4)
    with store.open(NAME) as file:
        for _ in range(200):
            start, length = drawn.randrange(310_000), drawn.choice([0, 1, 100, 70_000, 200_000])
            file.seek(start)
            assert file.read(length) == content[start : start + length]


def test_an_empty_or_absent_remote_file_is_told_apart(proxy):
    store = store_of(proxy)
    proxy.files[f"{ROUTE}/1/run/artifacts/chunks/{NAME}"] = b""
    with store.open(NAME) as file:
        assert file.read() == b""
    with pytest.raises(StoreError, match="404"):
        store.open("absent")


def test_a_server_lost_while_a_file_is_read_in_part_is_no_damaged_file(proxy):
    store = store_of(proxy)
    name, content = named_example(64, n=40, n_test=4000)
    store.put(name, content)
    with store.open(name) as file:
        proxy.trouble = failing(1000, status=503)
        with pytest.raises(StoreError, match="503"):
            decode_keys(file, name=name)
