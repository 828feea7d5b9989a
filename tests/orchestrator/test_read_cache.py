"""The read cache: the same numbers as the chunks, whoever builds it, and never half of it."""

import multiprocessing
import shutil
import time

import numpy as np
import pytest
from chunk_examples import PRINTS, example, named, put_example

from orchestrator.errors import JobError, StoreRefused
from orchestrator.store import read_cache
from orchestrator.store.loss_store import LossStore
from orchestrator.store.loss_table import LossTable
from orchestrator.store.read_cache import cached_rows
from workers.stores.folder import FolderStore

N, N_TEST = 11, 5


def opened(folder):
    store = LossStore({"c": FolderStore(folder / "chunks")}, PRINTS, n=N, n_test=N_TEST)
    store.refresh()
    return store


def table_of(folder):
    return LossTable(cached_rows(opened(folder), folder / "cache"))


@pytest.fixture
def bodies(tmp_path):
    return [put_example(FolderStore(tmp_path / "chunks"), 6, chunk=number)[1] for number in range(5)]


def plain(folder):
    """Members, losses and sizes of every row, in the order of the files, read without the cache."""
    store = opened(folder)
    chunks = [store.chunk(file) for file in sorted(store.files())]
    members = np.unpackbits(np.concatenate([c.rows.members for c in chunks]), axis=1, count=N, bitorder="little")
    losses = np.concatenate([c.rows.losses["cross_entropy"] for c in chunks])
    return members.astype(bool), losses, members.sum(axis=1)


def test_questions_give_what_numpy_gives(tmp_path, bodies):
    members, losses, sizes = plain(tmp_path)
    table = table_of(tmp_path)
    mask = members[:, 2] & ~members[:, 3] & (sizes >= 3) & (sizes <= 8)
    frame = table.losses(containing=[2], excluding=[3], size=(3, 8), test=[4, 1], loss="cross_entropy")
    assert mask.sum() > 2
    np.testing.assert_array_equal(frame["loss"], np.concatenate([losses[mask, 4], losses[mask, 1]]))
    assert list(frame["test_index"]) == [4] * mask.sum() + [1] * mask.sum()
    for tests in (None, [3]):
        mean = table.mean_loss(containing=[2], excluding=[3], size=(3, 8), test=tests)
        expected = losses[mask].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(mean["mean_loss"], expected if tests is None else expected[tests], rtol=1e-6)
        assert set(mean["retrains"]) == {mask.sum()}
    worst = table.worst(2, count=7)
    np.testing.assert_array_equal(worst["loss"], np.sort(losses[:, 2])[::-1][:7])
    nothing = table.mean_loss(containing=[2], excluding=[2])
    assert np.isnan(nothing["mean_loss"]).all()


def test_the_difference_is_the_evidence_behind_an_influence(tmp_path, bodies):
    members, losses, sizes = plain(tmp_path)
    found = table_of(tmp_path).difference(4, test=1)
    proper = (sizes > 0) & (sizes < N)
    inside, outside = losses[proper & members[:, 4], 1], losses[proper & ~members[:, 4], 1]
    np.testing.assert_array_equal(found.inside, inside)
    np.testing.assert_array_equal(found.outside, outside)
    assert found.difference == pytest.approx(outside.mean(dtype=float) - inside.mean(dtype=float))
    error = np.sqrt(inside.var(ddof=1, dtype=float) / len(inside) + outside.var(ddof=1, dtype=float) / len(outside))
    assert found.standard_error == pytest.approx(error)
    frame = found.to_pandas()
    assert frame["inside"].sum() == len(inside)
    np.testing.assert_array_equal(np.sort(frame["loss"]), np.sort(np.concatenate([inside, outside])))


def test_failed_and_repeated_rows_are_left_out(tmp_path):
    folder = FolderStore(tmp_path / "chunks")
    head, body = example(4, failures=(None, "died", None, None))
    folder.put(*named(head, body))
    head, other = example(4, chunk=9)
    folder.put(*named(head, other))
    head, again = example(4, chunk=9, worker="another")
    folder.put(*named(head, again))
    table = table_of(tmp_path)
    assert len(table) == 3 + 4
    keys = {key.tobytes() for key in table.rows.keys}
    assert keys == {key for key in (*body.keys, *other.keys) if key != body.keys[1]}


def test_an_empty_store_has_an_empty_table(tmp_path):
    table = table_of(tmp_path)
    assert len(table) == 0
    with pytest.raises(JobError, match="no loss 'cross_entropy'"):
        table.losses(loss="cross_entropy")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda table: table.losses(containing=[11]), "no training instance 11"),
        (lambda table: table.losses(test=[-1]), "no test instance -1"),
        (lambda table: table.losses(loss="crossentropy"), "did you mean `cross_entropy`"),
        (lambda table: table.losses(size=(5, 3)), "from 5 to 3"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, bodies, ask, words):
    with pytest.raises(JobError, match=words):
        ask(table_of(tmp_path))


def test_the_cache_is_kept_until_the_store_grows_and_older_ones_go(tmp_path, bodies):
    first = cached_rows(opened(tmp_path), tmp_path / "cache")
    [folder] = (tmp_path / "cache").iterdir()
    made = (folder / "facts.json").stat().st_mtime_ns
    cached_rows(opened(tmp_path), tmp_path / "cache")
    assert (folder / "facts.json").stat().st_mtime_ns == made
    put_example(FolderStore(tmp_path / "chunks"), 6, chunk=77)
    second = cached_rows(opened(tmp_path), tmp_path / "cache")
    assert (len(first), len(second)) == (30, 36)
    assert list((tmp_path / "cache").iterdir()) != [folder]
    assert np.isfinite(first.losses["cross_entropy"]).all(), "a reader keeps what it has mapped"
    shutil.rmtree(tmp_path / "cache")
    assert len(cached_rows(opened(tmp_path), tmp_path / "cache")) == 36


@pytest.mark.parametrize("spoil", ["flip", "cut", "facts", "pickle"])
def test_a_damaged_cache_is_made_anew(tmp_path, bodies, spoil):
    before = np.array(cached_rows(opened(tmp_path), tmp_path / "cache").losses["cross_entropy"])
    [folder] = (tmp_path / "cache").iterdir()
    file = folder / ("facts.json" if spoil == "facts" else "loss-0.npy")
    content = bytearray(file.read_bytes())
    if spoil == "flip":
        content[-3] ^= 4
    elif spoil == "cut":
        content = content[:-7]
    elif spoil == "facts":
        content = bytearray(b'{"version": 1}')
    else:
        np.save(folder / "loss-0.npy", np.array([object], dtype=object), allow_pickle=True)
        content = bytearray((folder / "loss-0.npy").read_bytes())
    file.write_bytes(content)
    after = cached_rows(opened(tmp_path), tmp_path / "cache").losses["cross_entropy"]
    np.testing.assert_array_equal(after, before)


def test_a_damaged_chunk_is_refused_by_name(tmp_path, bodies):
    file = sorted((tmp_path / "chunks").iterdir())[1]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    store = opened(tmp_path)
    file.write_bytes(content)
    with pytest.raises(StoreRefused, match=file.name):
        cached_rows(store, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir()), "nothing half made is left"


def test_a_reader_whose_folder_others_keep_removing_gets_its_rows(tmp_path, bodies, monkeypatch):
    whole = read_cache.open_cached

    def removed_first(folder, state):
        if folder.name.startswith("."):
            return whole(folder, state)
        shutil.rmtree(folder)
        raise FileNotFoundError(folder)

    cached_rows(opened(tmp_path), tmp_path / "cache")
    monkeypatch.setattr(read_cache, "open_cached", removed_first)
    rows = cached_rows(opened(tmp_path), tmp_path / "cache")
    assert len(rows) == 30
    assert np.array_equal(rows.losses["cross_entropy"].T, rows.columns["cross_entropy"])


def ask_again_and_again(folder, begun, seconds):
    begun.set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        store = LossStore({"c": FolderStore(folder / "chunks")}, PRINTS, n=N, n_test=N_TEST)
        store.refresh()
        rows = cached_rows(store, folder / "cache")
        assert len(rows) % 6 == 0
        assert len(rows) == store.facts().rows
        assert np.isfinite(rows.losses["cross_entropy"]).all()
        assert np.array_equal(rows.losses["cross_entropy"].T, rows.columns["cross_entropy"])


def test_two_readers_at_once_beside_a_writer(tmp_path, bodies):
    spawn = multiprocessing.get_context("spawn")
    events = [spawn.Event() for _ in range(2)]
    readers = [spawn.Process(target=ask_again_and_again, args=(tmp_path, event, 3.0)) for event in events]
    for reader in readers:
        reader.start()
    assert all(event.wait(60) for event in events)
    for number in range(100, 140):
        put_example(FolderStore(tmp_path / "chunks"), 6, chunk=number)
        time.sleep(0.05)
    for reader in readers:
        reader.join(60)
        assert reader.exitcode == 0
    assert len(cached_rows(opened(tmp_path), tmp_path / "cache")) == 6 * 45
