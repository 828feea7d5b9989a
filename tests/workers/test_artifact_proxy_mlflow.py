"""Chunks behind MLflow's own artifact proxy: a real `mlflow server` on a port of its own."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from chunk_examples import named_example

from workers.chunk_file import decode, decode_keys
from workers.errors import StoreError
from workers.stores import open_chunk_store


@dataclass
class Server:
    address: str
    artifacts: Path


@pytest.fixture(scope="module")
def server(mlflow_server):
    return Server(f"mlflow-artifacts+{mlflow_server.address}", mlflow_server.artifacts)


def test_a_chunk_goes_through_whole(server):
    store = open_chunk_store(f"{server.address}/1/run/artifacts/chunks")
    assert store.names() == []
    with pytest.raises(StoreError, match="404"):
        store.get("plan.json")
    name, content = named_example(64, n_test=4000)
    store.put(name, content)
    store.put(name, content)
    store.put("plan.json", b"{}")
    assert store.names() == sorted([name, "plan.json"])
    assert store.get(name) == content
    assert (server.artifacts / "1/run/artifacts/chunks" / name).read_bytes() == content
    with store.open(name) as file:
        assert decode_keys(file, name=name).keys == decode(content, name=name).rows.keys
    with pytest.raises(StoreError, match="another content"):
        store.put("plan.json", b"other")


def test_many_workers_put_and_read_at_once(server):
    store = open_chunk_store(f"{server.address}/1/many/artifacts/chunks")
    chunks = dict(named_example(8, chunk=number) for number in range(40))
    with ThreadPoolExecutor(8) as threads:
        [*threads.map(lambda item: store.put(*item), [*chunks.items()] * 2)]
        assert [*threads.map(store.get, chunks)] == [*chunks.values()]
    assert store.names() == sorted(chunks)


def test_twelve_thousand_files_are_listed_in_seconds(server):
    folder = server.artifacts / "1/long/artifacts/chunks"
    folder.mkdir(parents=True)
    names = [f"{number:07d}-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet" for number in range(12_000)]
    for name in names:
        (folder / name).touch()
    began = time.monotonic()
    assert open_chunk_store(f"{server.address}/1/long/artifacts/chunks").names() == names
    assert time.monotonic() - began < 15


def test_an_empty_file_of_a_foreign_hand_is_read_as_empty(server):
    folder = server.artifacts / "1/odd/artifacts/chunks"
    folder.mkdir(parents=True)
    (folder / "empty").touch()
    store = open_chunk_store(f"{server.address}/1/odd/artifacts/chunks")
    assert store.get("empty") == b""
    with store.open("empty") as file:
        assert file.read() == b""
