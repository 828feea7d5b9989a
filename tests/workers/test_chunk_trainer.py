"""A chunk is trained, checked, stored and answered for, whatever the learner does."""

import dataclasses
import hashlib
import re

import numpy as np
import pytest
from learner_data import classification_data, regression_data, subsets

from estimators.subsets import instance_identities, pack, subset_keys
from workers.chunk_file import decode, parse_name
from workers.chunk_types import Fingerprints
from workers.errors import StoreError
from workers.failure_rows import failure_chunk
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import LogisticRegressionSpec, RidgeSpec
from workers.learners import make_learner
from workers.outcomes import ChunkTask, Failure, Receipt
from workers.training import ChunkFacts, ChunkTrainer

N, N_TEST = 20, 6
PRINTS = Fingerprints(train="a" * 32, test="b" * 32, learner="c" * 32, code="d" * 32)


class Memory:
    """A chunk store in memory; `broken` refuses to write."""

    address = "memory:"

    def __init__(self, broken=False):
        self.files, self.broken = {}, broken

    def put(self, name, content):
        if self.broken:
            raise StoreError("disk full: make room")
        self.files[name] = content


@dataclasses.dataclass
class Sized:
    """Losses say which subset they are of; above `room` retrains at once there is no memory."""

    room: int = 100
    together: int = 8
    trouble: object = None
    calls: list = dataclasses.field(default_factory=list)
    losses = ("loss",)
    traits = LearnerTraits(deterministic=True, together=True)
    n, n_test = N, N_TEST
    error: Exception = dataclasses.field(default_factory=lambda: MemoryError("Unable to allocate 9 GiB"))

    @property
    def numeric_class(self):
        return f"test K {self.together}"

    def with_together(self, together):
        return dataclasses.replace(self, together=together)

    def retrain(self, members, seeds):
        self.calls.append(len(members))
        if len(members) > self.room:
            raise self.error
        test = (members.sum(axis=1)[:, None] + np.arange(N_TEST)).astype(np.float32)
        losses = Losses(test={"loss": test}, train={"loss": members.astype(np.float32)})
        return losses if self.trouble is None else self.trouble(members, losses)


def facts(**changes):
    base = ChunkFacts("campaign-1", PRINTS, n=N, n_test=N_TEST, losses=("loss",), train_losses=("loss",))
    return dataclasses.replace(base, **changes)


def task_of(rows=11, together=4, n=N, members=None):
    members = subsets(rows, n, seed=2) if members is None else members
    keys = subset_keys(members, instance_identities([bytes([i]) for i in range(n)]))
    assert len(set(keys)) == rows
    numbers = np.arange(rows, dtype=np.uint64)
    return ChunkTask("campaign-1", 3, pack(members), tuple(keys), numbers, np.zeros(rows, dtype=np.int64), together)


def train(learner, task=None, store=None, **changes):
    return ChunkTrainer(learner, store or Memory(), facts(**changes), worker="w1").train(task or task_of())


def test_a_chunk_is_stored_whole_and_the_receipt_says_where():
    store, task, learner = Memory(), task_of(), Sized()
    receipt = train(learner, task, store)
    assert isinstance(receipt, Receipt)
    content = store.files[receipt.name]
    chunk = decode(content, name=receipt.name)
    assert learner.calls == [4, 4, 3]
    assert receipt.sha256 == hashlib.sha256(content).hexdigest()
    assert (receipt.chunk, receipt.rows, receipt.bytes, receipt.worker) == (3, 11, len(content), "w1")
    assert parse_name(receipt.name).chunk == 3
    members = np.unpackbits(task.members, axis=1, count=N, bitorder="little")
    np.testing.assert_array_equal(chunk.rows.losses["loss"][:, 0], members.sum(axis=1))
    np.testing.assert_array_equal(chunk.rows.train_losses["loss"], members)
    np.testing.assert_array_equal(chunk.rows.sizes, members.sum(axis=1))
    assert chunk.rows.keys == task.keys
    assert (chunk.header.together, chunk.header.worker, chunk.header.fingerprints) == (4, "w1", PRINTS)
    assert receipt.mean_losses["loss"] == pytest.approx(chunk.rows.losses["loss"].mean())
    assert receipt.seconds >= chunk.rows.seconds.sum() * 0.99


def test_seconds_of_a_row_are_its_groups_divided_among_the_rows():
    store = Memory()
    receipt = train(Sized(), store=store)
    rows = decode(store.files[receipt.name]).rows
    seconds = rows.seconds[np.argsort(rows.sizes, kind="stable")]
    assert len(set(seconds[:4].tolist())) == 1
    assert (seconds > 0).all()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate"), RuntimeError("can't allocate memory")],
)
def test_out_of_memory_halves_k_until_it_fits_and_remembers_it(error):
    store, learner = Memory(), Sized(room=3, error=error)
    trainer = ChunkTrainer(learner, store, facts(), worker="w1")
    first = trainer.train(task_of(together=8))
    assert first.together == 2
    assert first.numeric_class == "test K 2"
    assert learner.calls == [8, 4, 2, 2, 2, 2, 2, 1]
    assert trainer.train(task_of(together=8)).together == 2
    assert learner.calls[8:] == [2, 2, 2, 2, 2, 1]


def test_torchs_own_error_is_recognised():
    import torch

    assert train(Sized(room=2, error=torch.OutOfMemoryError("no room"))).together == 2


def test_a_subset_too_large_for_memory_alone_is_a_failure_that_names_it():
    def trouble(members, losses):
        if members.all(axis=1).any():
            raise MemoryError("Unable to allocate")
        return losses

    members = subsets(5, N, seed=2)
    members[3] = True
    failure = train(Sized(trouble=trouble), task_of(members=members, rows=5))
    assert (failure.kind, failure.guilty) == ("out_of_memory", (3,))


def test_an_exception_becomes_a_failure_with_the_end_of_its_traceback():
    def trouble(members, losses):
        raise ZeroDivisionError("of the learner's own")

    failure = train(Sized(trouble=trouble))
    assert isinstance(failure, Failure)
    assert (failure.chunk, failure.kind, failure.guilty, failure.worker) == (3, "exception", (), "w1")
    assert failure.reason.endswith("ZeroDivisionError: of the learner's own")
    assert len(failure.reason.splitlines()) <= 20


def test_a_row_trained_alone_is_named_when_it_raises():
    def trouble(members, losses):
        if members.all():
            raise ValueError("all")
        return losses

    members = subsets(5, N, seed=2)
    members[2] = True
    failure = train(Sized(trouble=trouble), task_of(rows=5, together=1, members=members))
    assert (failure.kind, failure.guilty) == ("exception", (2,))


@pytest.mark.parametrize("where", ["test", "train"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_no_numbers_are_named_and_nothing_is_stored(where, value):
    def trouble(members, losses):
        for row in np.flatnonzero(members[:, 0]):
            getattr(losses, where)["loss"][row, 2:4] = value
        return losses

    store, task = Memory(), task_of()
    failure = train(Sized(trouble=trouble), task, store)
    first = np.unpackbits(task.members, axis=1, count=N, bitorder="little")[:, 0]
    guilty = tuple(np.flatnonzero(first).tolist())
    assert 0 < len(guilty) < 11
    assert (failure.kind, failure.guilty, store.files) == ("non_finite", guilty, {})
    kind = "test" if where == "test" else "training"
    assert failure.reason.startswith(f"subset {task.keys[guilty[0]].hex()}: loss is {value} at {kind} instance 2")
    assert "at 2 of" in failure.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda test: test[:, :-1], r"shape \(4, 5\), expected float32 \(4, 6\)"),
        (lambda test: test[:-1], r"shape \(3, 6\)"),
        (lambda test: test.astype(np.float64), "float64"),
        (lambda test: test.astype(np.float16), "float16"),
        (lambda test: test.T, r"shape \(6, 4\)"),
        (lambda test: test.tolist(), "as a list"),
        (lambda test: None, "as a NoneType"),
    ],
)
def test_losses_of_a_wrong_form_are_refused(change, message):
    def trouble(members, losses):
        return Losses(test={"loss": change(losses.test["loss"])}, train=losses.train)

    failure = train(Sized(trouble=trouble))
    assert failure.kind == "wrong_shape"
    assert re.search(message, failure.reason)


def test_losses_of_other_names_are_refused():
    failure = train(Sized(), losses=("loss", "other"), train_losses=())
    assert failure.kind == "wrong_shape"
    assert "expected loss, other" in failure.reason
    assert train(Sized(trouble=lambda members, losses: Losses(losses.test))).kind == "wrong_shape"


def test_a_store_that_refuses_is_a_storage_failure():
    failure = train(Sized(), store=Memory(broken=True))
    assert (failure.kind, failure.reason) == ("storage", "disk full: make room")


def test_train_losses_that_the_plan_leaves_out_are_not_stored():
    store = Memory()
    receipt = train(Sized(), store=store, train_losses=())
    assert decode(store.files[receipt.name]).rows.train_losses == {}


@pytest.mark.parametrize(
    ("spec", "data", "losses"),
    [
        (RidgeSpec(), regression_data(n=N, n_test=N_TEST), ("squared_error",)),
        (LogisticRegressionSpec(), classification_data(n=N, n_test=N_TEST), ("cross_entropy", "zero_one")),
    ],
)
def test_rows_have_the_same_bits_however_they_are_cut_into_chunks_and_groups(spec, data, losses):
    learner, task = make_learner(spec, data), task_of()
    wanted = facts(losses=losses, train_losses=losses)
    stores = Memory(), Memory()
    whole = ChunkTrainer(learner, stores[0], wanted).train(task)
    rows = decode(stores[0].files[whole.name]).rows
    for part in ([4], [9, 0, 3]):
        one = ChunkTrainer(learner, stores[1], wanted).train(
            dataclasses.replace(task.part(part, attempt=2), together=2)
        )
        again = decode(stores[1].files[one.name]).rows
        for name in losses:
            assert again.losses[name].tobytes() == rows.losses[name][part].tobytes()
            assert again.train_losses[name].tobytes() == rows.train_losses[name][part].tobytes()
        assert again.attempts.tolist() == [2] * len(part)


def test_a_failure_row_holds_reason_and_attempts_and_no_losses():
    task = task_of(rows=1)
    failure = Failure(3, "exception", "ValueError: \udcff odd", "w1", seconds=2.0)
    name, content = failure_chunk(task, failure, 4, facts())
    chunk = decode(content, name=name)
    assert chunk.rows.failures == ("exception: ValueError: \\udcff odd",)
    assert chunk.rows.attempts.tolist() == [4]
    assert chunk.rows.keys == task.keys
    assert np.isnan(chunk.rows.losses["loss"]).all()
    assert np.isnan(chunk.rows.train_losses["loss"]).all()
    assert name == failure_chunk(task, failure, 4, facts())[0]


def test_rows_train_in_order_of_size_and_stand_in_the_order_of_the_task():
    trained = []

    def watch(members, losses):
        trained.append(members.sum(axis=1).tolist())
        return losses

    store, task = Memory(), task_of()
    sizes = np.bitwise_count(task.members).sum(axis=1)
    receipt = train(Sized(trouble=watch), task, store)
    rows = decode(store.files[receipt.name], name=receipt.name).rows
    ascending = sorted(sizes.tolist())
    assert trained == [ascending[:4], ascending[4:8], ascending[8:]]
    assert rows.keys == task.keys
    np.testing.assert_array_equal(rows.losses["loss"][:, 0], sizes)
    trained.clear()
    train(Sized(trouble=watch), dataclasses.replace(task, together=1), store)
    assert [each for [each] in trained] == sizes.tolist()
