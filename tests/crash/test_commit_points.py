"""A commit of a chunk, ended at each of its points: the store holds the chunk whole or not at all."""

import multiprocessing
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from chunk_examples import PRINTS, example, named_example, put_example

from orchestrator.plan import RowId
from orchestrator.store.loss_store import LossStore
from workers.chunk_file import decode
from workers.stores.folder import FolderStore
from workers.whole_file import POINTS

AFTER_LINK = POINTS[POINTS.index("linked") :]

COMMIT = """
import os, sys
from pathlib import Path
from workers.stores.folder import FolderStore

folder, source, name, last = sys.argv[1:]
end = lambda point: os._exit(137) if point == last else None
FolderStore(Path(folder), fault=end).put(name, Path(source).read_bytes())
"""


class Killed(BaseException):
    """Stands for the end of the process."""


def names_and_leftovers(folder):
    entries = [path.name for path in folder.iterdir()]
    return sorted(name for name in entries if name[0] != "."), [name for name in entries if name[0] == "."]


def holds_whole_or_not(store, name, point):
    assert store.names() == ([name] if point in AFTER_LINK else [])
    for found in store.names():
        decode(store.get(found), name=found)


@pytest.mark.parametrize("point", POINTS)
def test_a_process_ended_at_a_point_of_the_commit(tmp_path, point):
    name, content = named_example(16)
    (tmp_path / "source").write_bytes(content)
    folder = tmp_path / "chunks"
    arguments = [sys.executable, "-c", COMMIT, str(folder), str(tmp_path / "source"), name, point]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 137, ended.stderr
    store = FolderStore(folder)
    holds_whole_or_not(store, name, point)
    store.put(name, content)
    assert store.names() == [name]
    assert store.get(name) == content


@pytest.mark.parametrize("point", POINTS)
def test_an_interruption_at_a_point_of_the_commit_leaves_no_temporary(tmp_path, point):
    name, content = named_example(16)

    def end(here):
        if here == point:
            raise Killed

    store = FolderStore(tmp_path / "chunks", fault=end)
    with pytest.raises(Killed):
        store.put(name, content)
    holds_whole_or_not(store, name, point)
    assert names_and_leftovers(store.folder)[1] == []
    FolderStore(store.folder).put(name, content)
    assert store.get(name) == content


def test_the_points_are_passed_in_their_order(tmp_path):
    passed = []
    FolderStore(tmp_path, fault=passed.append).put("plan.json", b"{}")
    assert tuple(passed) == POINTS


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_file_is_flushed_before_it_gets_its_name_and_the_folder_after(tmp_path):
    name, content = named_example()
    (tmp_path / "source").write_bytes(content)
    folder = tmp_path / "chunks"
    folder.mkdir()
    log = tmp_path / "trace"
    calls = "trace=openat,write,fsync,link,linkat,rename,renameat,renameat2,unlink,unlinkat"
    command = [sys.executable, "-c", COMMIT, str(folder), str(tmp_path / "source"), name, "never"]
    traced = subprocess.run(
        ["strace", "-f", "-y", "-e", calls, "-o", str(log), *command], capture_output=True, timeout=60, check=False
    )
    if traced.returncode:
        pytest.skip("tracing is not permitted here")
    lines = [line for line in log.read_text().splitlines() if str(folder) in line and "= -1" not in line]
    steps = []
    for line in lines:
        call = re.sub(r"^\d+ +", "", line).partition("(")[0]
        file = "temporary" if ".tmp" in line else "folder"
        if call in {"write", "fsync", "link", "linkat", "unlink"} and [call, file] not in steps[-1:]:
            steps.append([call, file])
    assert [[call.removesuffix("at"), file] for call, file in steps] == [
        ["write", "temporary"],
        ["fsync", "temporary"],
        ["link", "temporary"],
        ["unlink", "temporary"],
        ["fsync", "folder"],
    ]


CHUNKS = 100
CHUNKS_A_LOOK = 20


def write_chunks(folder, begun, looks):
    store = FolderStore(folder)
    begun.set()
    for number in range(CHUNKS):
        if (
            number % CHUNKS_A_LOOK == 0
        ):  # so that the reader looks while chunks are written, however busy the machine is
            looks.acquire(timeout=60)
        put_example(store, 8, n_test=400, chunk=number)


@pytest.fixture
def writer(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    begun, looks = spawn.Event(), spawn.Semaphore(0)
    process = spawn.Process(target=write_chunks, args=(tmp_path / "chunks", begun, looks))
    process.start()
    assert begun.wait(60)
    yield looks
    process.join(60)
    assert process.exitcode == 0


def test_a_reader_beside_a_writer_sees_whole_chunks_and_ever_more_of_them(tmp_path, writer):
    bodies = [example(8, n_test=400, chunk=number)[1] for number in range(CHUNKS)]
    rows = [RowId(key, 0) for body in bodies for key in body.keys]
    losses = np.concatenate([body.losses["cross_entropy"] for body in bodies])
    store = LossStore({"c": FolderStore(tmp_path / "chunks")}, PRINTS, n=11, n_test=400)
    before, loops, end = np.zeros(CHUNKS, dtype=bool), 0, time.monotonic() + 60
    while not before.all() and time.monotonic() < end:
        writer.release()
        store.refresh()
        there = np.ones(len(rows), dtype=bool)
        there[store.missing(rows)] = False
        chunks = there.reshape(CHUNKS, 8)
        assert (chunks.all(axis=1) == chunks.any(axis=1)).all(), "a chunk is there whole or not at all"
        assert there[np.repeat(before, 8)].all(), "what was there stays there"
        asked = [row for row, stored in zip(rows, there, strict=True) if stored]
        assert np.array_equal(store.read(asked, "cross_entropy").losses, losses[there])
        before, loops = chunks.all(axis=1), loops + 1
    assert before.all()
    assert loops > 3
