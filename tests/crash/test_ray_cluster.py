"""Ray started here: private, quiet, gone afterwards; Ray elsewhere: reached or refused within a bounded time."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.cluster.ray_cluster import open_cluster
from orchestrator.errors import ResourceMissing


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """One process that starts Ray from a folder with a user's own package called workers."""
    evil = tmp_path_factory.mktemp("job")
    (evil / "workers").mkdir()
    (evil / "workers" / "__init__.py").write_text("raise RuntimeError('the user's package was imported')\n")
    script = Path(__file__).with_name("lone_ray.py")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(script), str(evil)],
        capture_output=True,
        text=True,
        timeout=150,
        env=environment,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done, evil


def test_it_listens_on_the_loopback_interface_only(lone):
    answer, _, _ = lone
    assert answer["sockets"]
    assert {address.removeprefix("::ffff:") for address in answer["sockets"]} == {"127.0.0.1"}


def test_it_asks_for_a_token_that_only_the_user_can_read(lone):
    answer, _, _ = lone
    assert answer["environment"] == "token"
    assert answer["token_mode"] == "0o600"
    assert answer["open_files"] == ["0o0"]
    assert answer["token_shown"] is False


def test_it_prints_nothing_even_when_a_worker_is_killed(lone):
    _, done, _ = lone
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_an_interrupt_from_the_terminal_reaches_the_driver_alone(lone):
    answer, _, _ = lone
    assert answer["driver_interrupted"] is True
    assert answer["worker_interrupted"] is False


def test_it_leaves_nothing_behind(lone):
    answer, _, evil = lone
    assert answer["left"] == []
    assert answer["folder_left"] is False
    importing_ray_sets = {"PYTHONBREAKPOINT"}
    assert set(answer["environment_changed"]) - importing_ray_sets == {"RAY_USAGE_STATS_ENABLED"}
    assert answer["umask_back"] is True
    assert answer["cwd"] == str(evil)


def test_a_package_called_workers_on_the_workers_path_is_named_with_ours(lone):
    answer, _, evil = lone
    assert str(evil / "workers" / "__init__.py") in answer["shadowed"]
    assert str(Path(__file__).parents[2] / "workers" / "__init__.py") in answer["shadowed"]


def test_an_address_where_nothing_listens_is_refused_in_time(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ResourceMissing, match=f"no Ray cluster answers at 127.0.0.1:{port} within 2 s"):
        open_cluster(f"127.0.0.1:{port}", timeout=2.0)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("address", ["ray://head:10001", "head:port", "no such host:6379"])
def test_an_address_that_can_be_none_is_refused(monkeypatch, address):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ResourceMissing):
        open_cluster(address, timeout=1.0)


@pytest.mark.slow
def test_something_else_that_listens_there_is_refused_in_time(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with pytest.raises(ResourceMissing, match="does not answer as Ray does"):
            open_cluster(f"127.0.0.1:{server.getsockname()[1]}", timeout=5.0)
    assert time.monotonic() - began < 20
