"""The loss store: every row once, in the order asked, and nothing that is not what was written."""

import time
import tracemalloc
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from chunk_examples import PRINTS, changed, example, named, named_example, put_example

from estimators.subsets import unpack
from orchestrator.errors import StoreRefused
from orchestrator.plan import RowId
from orchestrator.store.loss_store import LossStore
from workers.errors import StoreError
from workers.stores.folder import FolderStore

N, N_TEST = 11, 5


def ids(body):
    return [RowId(key, replicate) for key, replicate in zip(body.keys, body.replicates.tolist(), strict=True)]


@pytest.fixture
def folder(tmp_path):
    return FolderStore(tmp_path / "chunks")


def opened(*stores, **options):
    store = LossStore(
        {f"campaign-{place}": each for place, each in enumerate(stores)}, PRINTS, n=N, n_test=N_TEST, **options
    )
    store.refresh()
    return store


def test_rows_come_in_the_order_asked_as_often_as_asked(folder):
    bodies = [put_example(folder, 6, chunk=number)[1] for number in range(5)]
    rows = [row for body in bodies for row in ids(body)]
    losses = np.concatenate([body.losses["cross_entropy"] for body in bodies])
    train = np.concatenate([body.train_losses["cross_entropy"] for body in bodies])
    members = np.concatenate([unpack(body.members, N) for body in bodies])
    order = np.random.default_rng(1).integers(0, len(rows), 50)
    read = opened(folder).read([rows[place] for place in order], "cross_entropy", with_train=True)
    assert np.array_equal(read.losses, losses[order])
    assert np.array_equal(read.train_losses, train[order])
    assert np.array_equal(read.members, members[order])
    assert not read.failed.any()
    assert opened(folder).read(rows, "cross_entropy").train_losses is None


def test_an_empty_store_misses_everything(folder):
    store = opened(folder)
    assert store.missing([RowId(b"a" * 16, 0)]) == [0]
    assert store.failed([RowId(b"a" * 16, 0)]) == {}
    assert store.read([], "cross_entropy").losses.shape == (0, N_TEST)
    with pytest.raises(StoreRefused, match=rf"{b'a'.hex() * 16}.*not in the store"):
        store.read([RowId(b"a" * 16, 0)], "cross_entropy")


def test_a_row_in_several_files_counts_once_and_the_smallest_name_wins(tmp_path):
    head, body = example(4)
    other = changed(body, losses={"cross_entropy": body.losses["cross_entropy"] + 1})
    files = sorted([(*named(head, body), body), (*named(head, other), other)])
    expected = files[0][2].losses["cross_entropy"]
    for order in (files, files[::-1]):
        stores = [FolderStore(tmp_path / f"{order[0][0]}-{place}") for place in range(2)]
        for each, (name, content, _) in zip(stores, order, strict=True):
            each.put(name, content)
        store = opened(*stores)
        assert np.array_equal(store.read(ids(body), "cross_entropy").losses, expected)
        facts = store.facts()
        assert (facts.files, facts.rows, facts.repeated) == (2, 4, 4)


def test_failures_are_told_and_a_later_success_takes_their_place(folder):
    head, body = example(3, failures=(None, "died: signal 9", "non-finite"))
    name, content = named(head, body)
    folder.put(name, content)
    store = opened(folder)
    assert store.missing(ids(body)) == []
    assert store.failed(ids(body)) == {1: "died: signal 9", 2: "non-finite"}
    read = store.read(ids(body), "cross_entropy", with_train=True)
    assert read.failed.tolist() == [False, True, True]
    assert np.isnan(read.losses[1:]).all()
    assert np.isfinite(read.losses[0]).all()

    head, good = example(3, chunk=9)
    good = changed(good, keys=body.keys, members=body.members, sizes=body.sizes)
    folder.put(*named(head, good))
    store.refresh()
    assert store.failed(ids(body)) == {}
    assert np.array_equal(store.read(ids(body), "cross_entropy").losses[1:], good.losses["cross_entropy"][1:])
    assert np.array_equal(store.read(ids(body), "cross_entropy").losses[0], body.losses["cross_entropy"][0])
    assert store.facts().failed == 0


def test_a_file_noted_by_its_writer_is_there_without_listing(folder):
    store = opened(folder)
    name, body = put_example(folder)
    store.add("campaign-0", name)
    store.add("campaign-0", name)
    assert store.missing(ids(body)) == []
    assert store.facts().files == 1
    store.refresh()
    assert store.facts().files == 1


def test_refresh_sees_new_files_and_forgets_those_that_are_gone(folder):
    first, body = put_example(folder, chunk=1)
    store = opened(folder)
    store.read(ids(body), "cross_entropy")
    _, second = put_example(folder, chunk=2)
    assert store.missing(ids(second)) == [0, 1, 2, 3]
    (folder.folder / first).unlink()
    store.refresh()
    assert store.missing(ids(body)) == [0, 1, 2, 3]
    assert store.missing(ids(second)) == []


def test_plans_identities_and_other_kinds_are_left_alone(folder):
    folder.put("plan.json", b"{}")
    folder.put("identities-train-ab.parquet", b"not looked at")
    (folder.folder / ".leftover.tmp").write_bytes(b"half")
    put_example(folder, kind="side")
    _, body = put_example(folder, chunk=4)
    store = opened(folder)
    assert store.missing(ids(body)) == []
    assert (store.facts().files, store.facts().rows) == (1, 4)


@pytest.mark.parametrize(
    ("part", "words"), [("train", "training set"), ("test", "test set"), ("learner", "learner"), ("code", "code")]
)
def test_a_chunk_of_another_data_set_learner_or_code_is_refused_by_what_differs(folder, part, words):
    head, body = example()
    head = replace(head, fingerprints=replace(PRINTS, **{part: "ffffffffffff"}))
    name, content = named(head, body)
    folder.put(name, content)
    with pytest.raises(StoreRefused) as caught:
        opened(folder)
    assert words in str(caught.value)
    assert "ffffffffffff" in str(caught.value)
    assert name in str(caught.value)


def test_a_chunk_of_another_shape_is_refused(folder):
    put_example(folder, n_test=N_TEST + 1)
    with pytest.raises(StoreRefused, match="n_test 6; here they are 11, 5"):
        opened(folder)


def damage(path, how):
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(b"not a parquet file")


@pytest.mark.parametrize("how", ["empty", "cut", "foreign"])
def test_damaged_files_are_all_named_with_what_to_do(folder, how):
    names = [put_example(folder, chunk=number)[0] for number in range(3)]
    for name in names[:2]:
        damage(folder.folder / name, how)
    with pytest.raises(StoreRefused) as caught:
        opened(folder)
    for name in names[:2]:
        assert f"{folder.address}/{name}" in str(caught.value)
    assert names[2] not in str(caught.value)
    assert "apportion resume JOB" in str(caught.value)


def test_every_flipped_bit_is_found_before_a_loss_is_used(folder):
    name, body = put_example(folder, 8)
    path = folder.folder / name
    content = path.read_bytes()
    rng = np.random.default_rng(5)
    for bit in rng.choice(8 * len(content), 60, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        with pytest.raises(StoreRefused, match=name):
            opened(folder).read(ids(body), "cross_entropy")
    path.write_bytes(content)
    assert opened(folder).verify() == []
    path.write_bytes(flipped)
    problems = LossStore({"campaign-0": folder}, PRINTS, n=N, n_test=N_TEST).verify()
    assert [name in problem.text() for problem in problems] == [True]


def test_a_newer_format_is_refused_naming_both_and_touching_nothing(folder, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr("workers.chunk_schema.LATEST_FORMAT", 3)
        put_example(folder, format_version=3)
    before = folder.names()
    with pytest.raises(StoreRefused, match=r"format 3.*up to format 2"):
        opened(folder)
    assert folder.names() == before


def test_a_loss_that_is_not_kept_is_said_to_be(folder):
    _, body = put_example(folder, train_losses=())
    store = opened(folder)
    with pytest.raises(StoreRefused, match=r"zero_one.*cross_entropy"):
        store.read(ids(body), "zero_one")
    with pytest.raises(StoreRefused, match="train_loss"):
        store.read(ids(body), "cross_entropy", with_train=True)


def test_a_store_that_cannot_be_reached_is_no_refusal(tmp_path):
    (tmp_path / "chunks").write_text("a file")
    with pytest.raises(StoreError, match="ENOTDIR"):
        opened(FolderStore(tmp_path / "chunks"))


def test_figures_of_the_store_add_up(folder):
    names = [
        put_example(folder, 6, chunk=number, numeric_class=f"class {number % 2}", together=4)[0] for number in range(4)
    ]
    facts = opened(folder).facts()
    assert (facts.files, facts.rows, facts.failed, facts.repeated) == (4, 24, 0, 0)
    assert facts.bytes == sum((folder.folder / name).stat().st_size for name in names)
    assert (facts.numeric_classes, facts.together) == (("class 0", "class 1"), (4,))
    assert 0 < facts.seconds < 24


def test_the_same_rows_give_the_same_bits_through_a_small_cache(folder):
    rows = [row for number in range(12) for row in ids(put_example(folder, 8, chunk=number)[1])]
    order = np.random.default_rng(2).permutation(len(rows))
    asked = [rows[place] for place in order]
    whole, small = opened(folder), opened(folder, cache_bytes=5000)
    for start in range(0, len(asked), 16):
        block = asked[start : start + 16]
        assert (
            whole.read(block, "cross_entropy").losses.tobytes() == small.read(block, "cross_entropy").losses.tobytes()
        )
    assert small._reader.bytes <= 5000 < whole._reader.bytes


def test_streaming_over_a_store_takes_bounded_memory(tmp_path):
    folder = FolderStore(tmp_path / "chunks")
    bodies = [put_example(folder, 32, chunk=number, n_test=4000, train_losses=())[1] for number in range(24)]
    rows = [row for body in bodies for row in ids(body)]
    del bodies
    store = LossStore({"c": folder}, PRINTS, n=N, n_test=4000, cache_bytes=2**20)
    store.refresh()
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    held = []
    for start in range(0, len(rows), 64):
        store.read(rows[start : start + 64], "cross_entropy")
        held.append(pa.total_allocated_bytes() - before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    decoded = 4 * 4000 * len(rows)
    assert peak < decoded / 3
    assert max(held) < decoded / 3


def test_a_thousand_files_are_opened_in_seconds(folder):
    put_example(folder, 4)
    names = folder.names()
    for number in range(1000):
        name, content = named_example(4, chunk=10 + number)
        (folder.folder / name).write_bytes(content)
        names.append(name)
    began = time.monotonic()
    store = opened(folder)
    seconds = time.monotonic() - began
    assert store.facts().files == len(names)
    assert seconds < 15, "about one second on a free machine"


def test_duckdb_over_all_files_gives_the_same_means(folder):
    bodies = [put_example(folder, 6, chunk=number, failures=(None,) * 5 + ("boom",))[1] for number in range(4)]
    rows = [row for body in bodies for row in ids(body)]
    read = opened(folder).read(rows, "cross_entropy")
    question = "select count(*), count(failure), avg(list_avg(loss_cross_entropy)) from read_parquet(?)"
    with duckdb.connect() as connection:
        count, failed, mean = connection.execute(question, [f"{folder.folder}/*-*-*.parquet"]).fetchone()
    assert (count, failed) == (24, 4)
    assert mean == pytest.approx(read.losses[~read.failed].mean(dtype=np.float64), rel=1e-12)


def test_a_name_that_was_copied_to_other_rows_is_refused(folder):
    name, _ = named_example(chunk=1)
    _, content = named_example(chunk=1, seed=5)
    folder.put(name, content)
    with pytest.raises(StoreRefused, match="name does not say"):
        opened(folder)
