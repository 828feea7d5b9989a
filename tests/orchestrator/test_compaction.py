"""Small files joined to large ones: the same rows and bits before, during and after, wherever it is ended."""

import dataclasses

import numpy as np
import pytest
from chunk_examples import PRINTS, changed, example, named, put_example

from orchestrator.plan import RowId
from orchestrator.store.compaction import compact, groups_to_join
from orchestrator.store.loss_store import LossStore
from orchestrator.store.manifest import decode_manifest, is_manifest
from orchestrator.store.read_cache import cached_rows
from orchestrator.store.row_names import FileFacts, FileId
from workers.chunk_name import parse_name
from workers.errors import ChunkError
from workers.stores.folder import FolderStore

N, N_TEST, CHUNKS = 11, 5, 12


class Killed(BaseException):
    """Stands for the end of the process."""


def opened(folder, manifest="", **options):
    store = LossStore({"c": FolderStore(folder)}, PRINTS, n=N, n_test=N_TEST, manifests={"c": manifest}, **options)
    store.refresh()
    return store


def ids(bodies):
    return [RowId(key, rep) for body in bodies for key, rep in zip(body.keys, body.replicates.tolist(), strict=True)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "chunks"


@pytest.fixture
def bodies(folder):
    """12 chunks of 4 rows by two workers in two numeric classes; one row failed; one chunk stands twice."""
    store, made = FolderStore(folder), []
    for number in range(CHUNKS):
        failures = (None, "died: signal 9", None, None) if number == 5 else ()
        facts = {"chunk": number, "worker": f"w{number % 2}", "numeric_class": f"class {number // 8}"}
        made.append(put_example(store, 4, failures=failures, **facts)[1])
    head, again = example(4, chunk=3, worker="late", numeric_class="class 0")
    store.put(*named(head, changed(again, losses={"cross_entropy": again.losses["cross_entropy"] + 1})))
    return made


def everything(store, rows):
    read = store.read(rows, "cross_entropy", with_train=True)
    return read.members, read.losses, read.train_losses, read.failed


def same(before, after):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))


def chunk_files(folder):
    return [name for name in FolderStore(folder).names() if parse_name(name) is not None]


def test_rows_and_bits_are_the_same_after_joining_and_after_the_small_files_are_gone(folder, bodies):
    rows = ids(bodies)
    before = everything(opened(folder), rows)
    small = chunk_files(folder)
    done = compact(opened(folder), "c", lambda name: None)
    assert (done.small, done.large) == (12, 2), "the copy that does not count is joined to nothing"
    beside, alone = opened(folder), opened(folder, done.manifest)
    assert same(before, everything(alone, rows))
    assert same(before, everything(beside, rows))
    assert (alone.facts().files, alone.facts().rows, alone.facts().failed) == (2, 48, 1)
    assert alone.facts().numeric_classes == beside.facts().numeric_classes
    for name in small:
        (folder / name).unlink()
    assert same(before, everything(opened(folder), rows))
    assert same(before, everything(opened(folder, done.manifest), rows))


def test_a_manifest_opens_without_listing_or_opening_any_chunk(folder, bodies, monkeypatch):
    rows, done = ids(bodies), compact(opened(folder), "c", lambda name: None)

    def never(*arguments):
        raise AssertionError(arguments)

    monkeypatch.setattr(FolderStore, "names", never)
    monkeypatch.setattr(FolderStore, "open", never)
    store = opened(folder, done.manifest)
    assert store.missing([*rows, RowId(b"x" * 16, 0), RowId(rows[0].key, 1)]) == [48, 49]
    assert store.failed(rows) == {5 * 4 + 1: "died: signal 9"}
    assert store.facts().rows == 48


def test_a_driver_lists_all_the_same_and_finds_what_is_new_and_what_is_gone(folder, bodies):
    done = compact(opened(folder), "c", lambda name: None)
    for name in chunk_files(folder):
        if FolderStore(folder).get(name) is not None and not any(
            name == file.name for file in opened(folder, done.manifest).files()
        ):
            (folder / name).unlink()
    _, new = put_example(FolderStore(folder), 4, chunk=77)
    store = opened(folder, done.manifest)
    assert store.missing(ids([new])) == [0, 1, 2, 3], "a reader goes by the manifest"
    store.refresh(listing=True)
    assert store.missing(ids([new])) == []
    large = max(chunk_files(folder), key=lambda name: (folder / name).stat().st_size)
    (folder / large).unlink()
    store.refresh(listing=True)
    assert 0 < len(store.missing(ids(bodies))) < 48
    assert store.missing(ids([new])) == []


@pytest.mark.parametrize("point", ["joined", "joined twice", "manifest", "named"])
def test_ended_at_any_point_nothing_is_lost_and_the_next_try_ends_it(folder, bodies, point):
    rows = ids(bodies)
    before, passed, names = everything(opened(folder), rows), [], []

    def end(here):
        passed.append(here)
        if here == point.split()[0] and passed.count(here) == (2 if "twice" in point else 1):
            raise Killed

    with pytest.raises(Killed):
        compact(opened(folder), "c", names.append, step=end)
    assert same(before, everything(opened(folder), rows))
    assert same(before, everything(opened(folder, names[-1] if names else ""), rows))
    done = compact(opened(folder), "c", names.append)
    assert names[-1] == done.manifest
    assert same(before, everything(opened(folder, done.manifest), rows))
    again = compact(opened(folder), "c", names.append)
    assert (again.small, again.large, again.manifest) == (0, 0, done.manifest), "done once, it is done"


def test_a_reader_that_knows_the_small_files_goes_on_when_they_are_removed(folder, bodies):
    rows = ids(bodies)
    reader, before = opened(folder, cache_bytes=0), everything(opened(folder), rows)
    small = chunk_files(folder)
    compact(opened(folder), "c", lambda name: None)
    for name in small:
        (folder / name).unlink()
    assert same(before, everything(reader, rows))


def test_joined_files_keep_each_rows_chunk_and_worker(folder, bodies, tmp_path):
    def origins(store, cache):
        rows = cached_rows(store, tmp_path / cache)
        workers = [rows.facts.workers[place] for place in rows.worker]
        return {key.tobytes(): each for key, *each in zip(rows.keys, rows.chunk.tolist(), workers, strict=True)}

    before = origins(opened(folder), "a")
    done = compact(opened(folder), "c", lambda name: None)
    assert origins(opened(folder, done.manifest), "b") == before


@pytest.mark.parametrize("spoil", [lambda c: c[:-9], lambda c: c[:50] + b"x" + c[51:], lambda c: b""])
def test_a_damaged_manifest_is_passed_over_and_the_chunks_are_listed(folder, bodies, spoil):
    done = compact(opened(folder), "c", lambda name: None)
    path = folder / done.manifest
    spoiled = spoil(path.read_bytes())
    path.write_bytes(spoiled)
    with pytest.raises(ChunkError, match="damaged"):
        decode_manifest(done.manifest, spoiled)
    assert opened(folder, done.manifest).missing(ids(bodies)) == []


def test_files_are_grouped_by_what_stands_once_in_a_header_and_up_to_their_weight():
    def file(number, size, **facts):
        plain = FileFacts(10, 0, 1.0, "a", 4, ("ce",), size)
        return FileId(f"{number:07d}", "c"), dataclasses.replace(plain, **facts)

    small = [file(number, 2**20) for number in range(130)]
    groups = groups_to_join([*reversed(small), file(900, 2**23), file(901, 5, together=8), file(902, 5, together=8)])
    assert [len(group) for group in groups] == [64, 64, 2, 2]
    assert [each.name for group in groups[:3] for each in group] == [f"{number:07d}" for number in range(130)]
    assert groups_to_join([file(1, 10)]) == []


def test_a_stored_row_beats_a_failure_across_manifest_and_files(folder):
    head, failed = example(3, failures=("died", "died", None))
    FolderStore(folder).put(*named(head, failed))
    put_example(FolderStore(folder), 3, chunk=8)
    done = compact(opened(folder), "c", lambda name: None)
    assert is_manifest(done.manifest)
    head, good = example(2, chunk=9)
    good = changed(good, keys=failed.keys[:2], members=failed.members[:2], sizes=failed.sizes[:2])
    FolderStore(folder).put(*named(head, good))
    store = opened(folder, done.manifest)
    assert set(store.failed(ids([failed]))) == {0, 1}
    store.refresh(listing=True)
    assert store.failed(ids([failed])) == {}
    assert np.array_equal(store.read(ids([good]), "cross_entropy").losses, good.losses["cross_entropy"])
    assert len(store.failures()) == 0
    assert store.stored_rows() == 6


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_precision_is_kept_by_joining(folder, precision):
    made = [put_example(FolderStore(folder), 4, chunk=n, precision=precision, format_version=2)[1] for n in range(3)]
    before = everything(opened(folder), ids(made))
    done = compact(opened(folder), "c", lambda name: None)
    assert same(before, everything(opened(folder, done.manifest), ids(made)))
    exact = np.concatenate([body.losses["cross_entropy"] for body in made])
    error = np.abs(before[1] - exact) / exact
    assert error.max() <= (0.0 if precision == "float32" else 2.0**-11)
