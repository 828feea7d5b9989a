"""Chunks in a folder: whole files, never overwritten, and errors that say how to mend."""

import errno
import os
import shutil
import stat
import subprocess
import time
from contextlib import contextmanager

import pytest

from workers.errors import StoreError
from workers.stores import open_chunk_store
from workers.stores.folder import FolderStore
from workers.whole_file import OLDEST_TEMPORARY, POINTS, sweep, write_whole

NAME = "0000001-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet"

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "a\0b",
    ".hidden",
    "-rf",
    "_x",
    "a b",
    "a\nb",
    "a\tb",
    "é",
    "a:b",
    "~",
    "~root",
    "$HOME",
    "a;b",
    "a*b",
    "a?b",
    "a|b",
    "%2e%2e%2fx",
    "..%2fx",
    "a#b",
    "a" * 201,
    "<script>",
    "'",
    "\u202eabc",
    "a.parquet\n",
]


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "chunks")


def test_a_file_comes_back_and_is_listed(store):
    assert store.names() == []
    store.put(NAME, b"content")
    store.put("plan.json", b"{}")
    store.put("empty", b"")
    assert store.names() == [NAME, "empty", "plan.json"]
    assert (store.get(NAME), store.get("empty")) == (b"content", b"")


def test_only_the_owner_may_read_it(store):
    old = os.umask(0)
    try:
        store.put(NAME, b"content")
    finally:
        os.umask(old)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((store.folder / NAME).stat().st_mode) == 0o600


def test_putting_it_twice_is_harmless_and_another_content_is_refused(store):
    store.put(NAME, b"content")
    before = (store.folder / NAME).stat()
    store.put(NAME, b"content")
    assert (store.folder / NAME).stat().st_ino == before.st_ino
    for other in (b"CONTENT", b"longer content", b""):
        with pytest.raises(StoreError, match=r"EEXIST[\s\S]*move it"):
            store.put(NAME, other)
    assert store.get(NAME) == b"content"
    assert entries(store.folder) == [NAME]


def test_whoever_comes_second_between_look_and_link_does_not_overwrite(tmp_path):
    path = tmp_path / NAME
    for second, expected in ((b"first", None), (b"other", FileExistsError)):
        path.unlink(missing_ok=True)

        def race(point):
            if point == "synced":
                write_whole(path, b"first")

        if expected is None:
            write_whole(path, second, fault=race)
        else:
            with pytest.raises(expected):
                write_whole(path, second, fault=race)
        assert path.read_bytes() == b"first"
        assert entries(tmp_path) == [NAME]


def test_a_file_system_without_links_gets_a_rename(tmp_path, monkeypatch):
    def no_links(*args, **kwargs):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    write_whole(tmp_path / NAME, b"content")
    write_whole(tmp_path / NAME, b"content")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / NAME, b"other")
    assert (tmp_path / NAME).read_bytes() == b"content"
    assert entries(tmp_path) == [NAME]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(store, name, tmp_path):
    for use in (lambda: store.put(name, b"x"), lambda: store.get(name), lambda: store.open(name)):
        with pytest.raises(StoreError):
            use()
    assert entries(tmp_path) == []


def test_a_link_in_the_store_is_neither_listed_nor_written_through(store, tmp_path):
    store.put("plan.json", b"{}")
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (store.folder / NAME).symlink_to(target)
    assert store.names() == ["plan.json"]
    with pytest.raises(StoreError):
        store.put(NAME, b"chunk")
    assert target.read_bytes() == b"mine"


def test_an_absent_file_is_an_error_that_names_it(store):
    with pytest.raises(StoreError, match=rf"{NAME}.*ENOENT"):
        store.get(NAME)


def test_a_folder_whose_place_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    broken = FolderStore(tmp_path / "file" / "chunks")
    with pytest.raises(StoreError, match="ENOTDIR"):
        broken.put(NAME, b"x")
    with pytest.raises(StoreError, match="ENOTDIR"):
        broken.names()


def test_leftovers_of_killed_writers_are_not_listed_and_go_after_an_hour(store):
    store.put("plan.json", b"{}")
    old, fresh = (store.folder / f".{NAME}.{age}.tmp" for age in ("old", "fresh"))
    for leftover in (old, fresh):
        leftover.write_bytes(b"half a ch")
    long_ago = time.time() - OLDEST_TEMPORARY - 60
    os.utime(old, (long_ago, long_ago))
    os.utime(store.folder / "plan.json", (long_ago, long_ago))
    assert store.names() == ["plan.json"]
    FolderStore(store.folder).put(NAME, b"content")
    assert entries(store.folder) == sorted([NAME, fresh.name, "plan.json"])
    assert sweep(store.folder, older_than=-1) == 1


def test_a_sweep_beside_a_writer_passes_over_a_temporary_that_is_gone_meanwhile(tmp_path, monkeypatch):
    listed = os.scandir

    def scandir(folder):
        (tmp_path / ".chunk.tmp").touch()
        entries = list(listed(folder))
        (tmp_path / ".chunk.tmp").unlink()
        return entries

    monkeypatch.setattr(os, "scandir", scandir)
    assert sweep(tmp_path, older_than=-1) == 0


def test_addresses_open_the_same_folder(tmp_path, monkeypatch):
    folder = tmp_path / "with space"
    FolderStore(folder).put(NAME, b"content")
    monkeypatch.chdir(tmp_path)
    for address in (str(folder), folder.as_uri(), "with space"):
        opened = open_chunk_store(address)
        assert opened.address == str(folder)
        assert opened.get(NAME) == b"content"


@pytest.mark.parametrize(
    "address", ["s3://bucket/x", "file://host/x", "", "a\0b", "ftp://h/x", "mlflow-artifacts:/1/2"]
)
def test_addresses_of_no_known_store_are_refused(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError):
        open_chunk_store(address)


def test_opening_a_store_touches_nothing(tmp_path):
    open_chunk_store(str(tmp_path / "chunks")).names()
    assert entries(tmp_path) == []


@contextmanager
def small_disk(folder, options):
    """A file system of its own at `folder`; skips where this user may not mount."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, timeout=10, check=False
    )
    if made.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], timeout=10, check=True)


def fill_up(store, content):
    for number in range(20):
        store.put(f"{number:07d}-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet", content)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount command")
def test_a_full_disk_leaves_nothing_behind_and_goes_on_when_there_is_room(tmp_path):
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        store = FolderStore(disk / "chunks")
        filler = disk / "filler"
        content = os.urandom(120_000)
        for fill in (850_000, 900_000, 950_000, 1_000_000, 1_040_000):
            filler.write_bytes(b"x" * fill)
            with pytest.raises(StoreError, match=r"ENOSPC[\s\S]*make room"):
                fill_up(store, content)
            assert all(store.get(name) == content for name in store.names())
            assert not [name for name in entries(store.folder) if name.startswith(".")]
            filler.unlink()
            for name in store.names():
                (store.folder / name).unlink()
        store.put(NAME, content)
        assert store.get(NAME) == content


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount command")
def test_a_read_only_store_is_read_and_says_why_it_is_not_written(tmp_path):
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        FolderStore(disk / "chunks").put(NAME, b"content")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], timeout=10, check=True)
        store = FolderStore(disk / "chunks")
        assert store.get(NAME) == b"content"
        with pytest.raises(StoreError, match=r"EROFS[\s\S]*mount the file system for writing"):
            store.put("plan.json", b"{}")
        with pytest.raises(StoreError, match="EROFS"):
            FolderStore(disk / "other").put("plan.json", b"{}")


@pytest.mark.parametrize("word", ["ENOSPC", "EIO", "EACCES", "EDQUOT", "ESTALE"])
@pytest.mark.parametrize("point", POINTS[1:4])
def test_an_error_of_the_disk_at_any_moment_leaves_nothing_behind(tmp_path, word, point):
    def fail(here):
        if here == point:
            code = getattr(errno, word)
            raise OSError(code, os.strerror(code))

    store = FolderStore(tmp_path / "chunks", fault=fail)
    with pytest.raises(StoreError, match=word):
        store.put(NAME, b"content")
    assert entries(store.folder) == []
    FolderStore(store.folder).put(NAME, b"content")
