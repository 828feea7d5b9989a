"""Every value of the registry where a chunk of the store stands twice, a chunk is missing, or an instance is never in.

A row that stands in two files counts once, which the store sees to; a row drawn twice is one row, and counts twice.
What is missing leaves a value of what is there, or NaN with an infinite error and a note: never a quiet 0.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from chunk_examples import PRINTS, header, named
from estimator_material import CASES, aggregator_of, arrays_of, assert_same_bits, random_game
from oracles import enumeration
from scipy import stats
from test_value_methods import N_TEST, N, campaign

from estimators.aggregators.blocks import aggregate
from estimators.aggregators.g_shapley import GShapley
from estimators.designs import make_design
from estimators.designs.walk import Walk
from estimators.registry import VALUES
from estimators.retrains import Retrains
from estimators.walks import walks_of
from orchestrator.errors import StoreRefused
from orchestrator.plan import RowId
from orchestrator.store.loss_store import LossStore
from orchestrator.store.walking_store import WalkingStore
from workers.chunk_name import chunk_name
from workers.chunk_types import ChunkRows
from workers.stores.folder import FolderStore
from workers.walk_file import WalkRows, encode_walks

CHUNK, WHICH = 40, 2
KNOWN_BY_ROWS_WITHOUT = {"held_out_loss", "data_oob", "c_score"}
LISTED = [case for case in CASES if case[1] == "exhaustive"]
ROW_BY_ROW = [case for case in CASES if case[1] not in {"exhaustive", "leave_one_out"}]


def test_the_tables_here_hold_every_value():
    assert {value for value, _ in CASES} | {"g_shapley"} == set(VALUES)
    assert not VALUES["g_shapley"].accepts(Walk(n=N, seed=0))


def key_of(number):
    return int(number).to_bytes(16, "little")


def numbers_of(rows):
    return rows.members.astype(np.int64) @ (1 << np.arange(N))


def chunk_of(rows, numbers, chunk, worker):
    """Name and content of a chunk of the subsets `numbers`, each one row."""
    _, first = np.unique(numbers_of(rows), return_index=True)
    own = rows.rows(first[np.isin(numbers_of(rows)[first], numbers)])
    count = len(own.members)
    return named(
        header(n=N, n_test=N_TEST, losses=("loss",), train_losses=("loss",), chunk=chunk, worker=worker),
        ChunkRows(
            keys=tuple(map(key_of, numbers_of(own))),
            members=np.packbits(own.members, axis=1, bitorder="little"),
            sizes=own.members.sum(axis=1),
            seeds=np.zeros(count, dtype=np.uint64),
            replicates=np.zeros(count, dtype=np.int64),
            seconds=np.ones(count, dtype=np.float32),
            attempts=np.ones(count, dtype=np.int64),
            losses={"loss": own.losses.astype(np.float32)},
            train_losses={"loss": own.train_losses.astype(np.float32)},
            failures=(),
        ),
    )


def opened(folder):
    store = LossStore({"c": FolderStore(folder)}, PRINTS, n=N, n_test=N_TEST)
    store.refresh()
    return store


def read(folder, rows):
    """The rows as the store has them."""
    found = opened(folder).read([RowId(key_of(k), 0) for k in numbers_of(rows)], "loss", with_train=True)
    return Retrains(found.members, found.losses, found.train_losses, rows.draws, rows.units)


@pytest.mark.parametrize(("value", "design"), CASES)
def test_a_chunk_that_stands_twice_counts_once_and_one_that_is_missing_is_named(value, design, tmp_path):
    aggregator, rows = campaign(value, design)
    subsets = np.unique(numbers_of(rows))
    parts = np.array_split(subsets, max(2, len(subsets) // CHUNK))
    files = FolderStore(tmp_path)
    for chunk, part in enumerate(parts):
        files.put(*chunk_of(rows, part, chunk, "w0"))
    once = aggregate(aggregator, [read(tmp_path, rows)])
    files.put(*chunk_of(rows, parts[0], 0, "late"))
    files.put(*chunk_of(rows, np.concatenate(parts[:2]), 77, "joined"))
    store = opened(tmp_path)
    assert (store.facts().files, store.facts().rows) == (len(parts) + 2, len(subsets))
    twice = aggregate(aggregator, [read(tmp_path, rows)])
    assert_same_bits(once, twice)
    assert (once.retrains, once.notes) == (twice.retrains, twice.notes)
    for name in files.names():
        (tmp_path / name).unlink()
    files.put(*chunk_of(rows, np.concatenate(parts[1:]), 1, "w0"))
    with pytest.raises(StoreRefused, match=r"not in the store"):
        read(tmp_path, rows)


def some_walks(count=40):
    orders = Walk(n=N, seed=2).orders(0, count)
    paths = np.random.default_rng(2).normal(size=(count, N + 1, N_TEST + 1)).astype(np.float32)
    return walks_of(orders, paths, np.arange(N_TEST))


def walk_chunk(walks, own, worker):
    count = len(walks.orders[own])
    facts = {"kind": "walks", "columns": tuple(range(N_TEST)), "rate": 0.01, "chunk": 0, "worker": worker}
    head = header(n=N, n_test=N_TEST, losses=("loss",), train_losses=(), **facts)
    body = WalkRows(
        keys=tuple(map(key_of, np.arange(len(walks.orders))[own])),
        orders=walks.orders[own],
        seeds=np.zeros(count, dtype=np.uint64),
        replicates=np.zeros(count, dtype=np.int64),
        seconds=np.ones(count, dtype=np.float32),
        attempts=np.ones(count, dtype=np.int64),
        losses={"loss": walks.paths[own]},
    )
    content = encode_walks(head, body)
    return chunk_name(0, body.keys, body.replicates, content, kind="walks"), content


def test_walks_that_stand_twice_count_once_and_one_that_is_missing_is_named(tmp_path):
    walks, files = some_walks(), FolderStore(tmp_path)
    made, results = GShapley("g_shapley", "loss", Walk(n=N, seed=2), N_TEST), []
    ids = [RowId(key_of(k), 0) for k in range(40)]
    for put in ([(slice(25), "a"), (slice(25, 40), "b")], [(slice(25), "late"), (slice(10, 30), "other")]):
        for own, worker in put:
            files.put(*walk_chunk(walks, own, worker))
        store = WalkingStore({}, PRINTS, walking={"c": files}, n=N, n_test=N_TEST)
        store.refresh()
        state = made.empty()
        for each in store.walks(ids, "loss"):
            state = made.update(state, each)
        results.append(made.finish(state))
    assert_same_bits(*results)
    assert results[0].retrains == results[1].retrains == 40
    assert_same_bits(results[0], made.finish(made.update(made.empty(), walks)))
    with pytest.raises(StoreRefused, match="not in the store"):
        list(store.walks([*ids, RowId(key_of(40), 0)], "loss"))


def of_one_side(rows, side):
    """The rows of units in which the instance is on one side only: True = in every row."""
    other = np.unique(rows.units[rows.members[:, WHICH] != side])
    return rows.rows(~np.isin(rows.units, other))


@pytest.mark.parametrize("side", [True, False], ids=["never out", "never in"])
@pytest.mark.parametrize(("value", "design"), ROW_BY_ROW)
def test_an_instance_that_is_never_in_or_never_out_is_unknown(value, design, side):
    aggregator, rows = campaign(value, design)
    kept = of_one_side(rows, side)
    if design in {"paired", "kfold"} or (design == "stratified" and side):
        assert not len(kept.members)  # every unit has it on both sides
        return
    result = aggregate(aggregator, [kept])
    for array in arrays_of(result)[:1]:
        assert not (array == 0.0).any()
    if value == "shapley_permutations" or (value in KNOWN_BY_ROWS_WITHOUT and not side):
        assert np.isfinite(result.values[WHICH]).all()  # a walk has a marginal of each; a held-out loss is of one side
        return
    assert np.isnan(result.values[WHICH]).all()
    assert np.isinf(result.standard_errors[WHICH]).all()
    assert not result.certain()[WHICH].any()
    assert any(f"{'out of' if side else 'in'} no subset" in note for note in result.notes)
    if design not in {"permutation", "stratified"}:  # in a walk with it first or last others are on one side as well
        assert np.isfinite(np.delete(result.values, WHICH, axis=0)).all()


@pytest.mark.parametrize(("value", "design"), ROW_BY_ROW)
def test_values_without_a_chunk_are_those_of_the_rows_that_are_there(value, design):
    aggregator, rows = campaign(value, design)
    units = np.unique(rows.units)
    lost = np.isin(rows.units, units[len(units) // 3 : len(units) // 2])
    result, whole = aggregate(aggregator, [rows.rows(~lost)]), aggregate(aggregator, [rows])
    assert result.retrains == np.count_nonzero(~lost) < whole.retrains
    for array in arrays_of(result)[:2]:
        assert np.isfinite(array).all()
    assert (result.values != 0.0).all()
    assert (result.values != whole.values).any()
    # what is left agrees with the whole, of which it is a part, within its own errors: p over 1e-5 / their number, and
    # less of a distance than that of two samples which share no row
    errors = np.maximum(result.standard_errors, 1e-12)  # none where every partition is the same
    p = 2 * stats.t.sf(np.abs(result.values - whole.values) / errors, result.degrees_of_freedom)
    assert p.min() > 1e-5 / p.size


@pytest.mark.parametrize(("value", "design"), LISTED)
def test_exact_values_need_every_subset_equally_often(value, design):
    aggregator, rows = campaign(value, design)
    for parts in ([rows.rows(slice(0, 200))], [rows, rows.rows(slice(0, CHUNK))]):
        result = aggregate(aggregator, parts)
        assert np.isnan(result.values).all()
        assert np.isinf(result.standard_errors).all()
        assert any("subsets are missing" in note for note in result.notes)


def test_leave_one_out_is_unknown_for_the_instances_not_left_out_yet():
    aggregator, rows = campaign("leave_one_out", "leave_one_out")
    result, whole = aggregate(aggregator, [rows.rows(slice(3, None))]), aggregate(aggregator, [rows])
    left = np.argmin(rows.members[:3], axis=1)
    assert np.isnan(result.values[left]).all()
    np.testing.assert_array_equal(np.delete(result.values, left, 0), np.delete(whole.values, left, 0))
    assert any("3 training instances were out of no subset" in note for note in result.notes)


def test_a_repeat_with_a_row_missing_counts_for_nothing():
    aggregator, rows = campaign("generative_downsampling", "kfold")
    place = int(np.flatnonzero(rows.units == 3)[1])
    torn = aggregate(aggregator, [rows.rows(np.delete(np.arange(len(rows.members)), place))])
    assert_same_bits(torn, aggregate(aggregator, [rows.rows(rows.units != 3)]))


def test_least_squares_does_not_tell_apart_what_always_stands_together():
    aggregator, rows = campaign("banzhaf_least_squares", "bernoulli")
    together = rows.rows(rows.members[:, 0] == rows.members[:, 1])
    result = aggregate(aggregator, [replace(together, units=None)])
    assert np.isnan(result.values).all()
    assert np.isinf(result.standard_errors).all()
    assert any("always stand together" in note for note in result.notes)


@pytest.mark.parametrize(("n", "size"), [(3, 1), (5, 3), (7, 4), (8, 6)])
@pytest.mark.parametrize("value", ["memorization", "held_out_loss", "data_oob"])
def test_all_subsets_of_a_size_once_give_values_of_own_losses_by_their_definition(value, n, size):
    game = random_game(n, 1, seed=90 + n)
    members = np.zeros((0, n), dtype=bool)
    for chosen in combinations(range(n), size):
        members = np.concatenate([members, np.isin(np.arange(n), chosen)[None, :]])
    design = make_design("uniform", n=n, seed=0, size=size)
    result = aggregate(aggregator_of(value, design, game.ends), [game.retrains(members)])
    kept, left = enumeration.mean_own_losses(game.own, n, size=size)
    known = {"memorization": left - kept, "held_out_loss": left, "data_oob": -left}[value]
    np.testing.assert_allclose(result.values, known, atol=1e-12)


@pytest.mark.parametrize("n", [4, 6])
def test_all_partitions_into_pairs_once_give_memorization_by_folds_by_its_definition(n):
    game, design = random_game(n, 1, seed=90 + n), make_design("kfold", n=n, seed=0, folds=n // 2)
    everyone, members = np.arange(n), []
    for pairs in combinations(list(combinations(range(n), 2)), n // 2):
        if len({i for pair in pairs for i in pair}) == n:
            members += [~np.isin(everyone, pair) for pair in pairs]
    result = aggregate(aggregator_of("generative_downsampling", design, game.ends), [game.retrains(np.array(members))])
    kept, left = enumeration.mean_own_losses(game.own, n, size=n - 2)
    np.testing.assert_allclose(result.values, left - kept, atol=1e-12)
