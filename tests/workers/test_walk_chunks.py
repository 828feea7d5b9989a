"""Chunks of walks: trained, written, read back, and never taken for retrains."""

import dataclasses

import numpy as np
import pytest
from learner_data import classification_data, regression_data
from test_chunk_trainer import Memory

from estimators.subsets import pack
from workers.chunk_file import decode, decode_keys
from workers.chunk_types import Fingerprints
from workers.errors import ChunkError
from workers.failure_rows import failure_chunk
from workers.learner_specs import LogisticRegressionSpec, RidgeSpec
from workers.learners import make_learner
from workers.outcomes import Failure, Receipt, WalkTask
from workers.training import ChunkFacts, ChunkTrainer
from workers.walk_file import decode_walks
from workers.walking import walk_keys

N, N_TEST = 20, 6
PRINTS = Fingerprints(train="a" * 32, test="b" * 32, learner="c" * 32, code="d" * 32)
FACTS = ChunkFacts("walk-1", PRINTS, n=N, n_test=N_TEST, losses=("cross_entropy", "zero_one"), train_losses=())


def walk_task(rows=5, rate=0.1, together=2):
    random = np.random.default_rng(0)
    orders = np.stack([random.permutation(N) for _ in range(rows)])
    identities = random.integers(0, 256, (N, 16), dtype=np.uint8)
    return WalkTask(
        "walk-1",
        4,
        pack(np.ones((rows, N), dtype=bool)),
        tuple(walk_keys(orders, identities, rate)),
        np.arange(rows, dtype=np.uint64),
        np.zeros(rows, dtype=np.int64),
        together,
        orders=orders,
        rate=rate,
    )


def logistic():
    return make_learner(LogisticRegressionSpec(), classification_data(n=N, n_test=N_TEST))


def test_walks_are_stored_as_the_learner_gave_them():
    store, task = Memory(), walk_task()
    receipt = ChunkTrainer(logistic(), store, FACTS, worker="w").train(task)
    assert isinstance(receipt, Receipt)
    expected = logistic().walk(task.orders, task.seeds, rate=0.1, columns=np.arange(N_TEST))
    found = decode_walks(store.files[receipt.name], "zero_one", name=receipt.name)
    assert found.losses.tobytes() == expected["zero_one"].tobytes()
    assert np.array_equal(found.orders, task.orders)
    assert found.columns.tolist() == list(range(N_TEST))
    keys = decode_keys(store.files[receipt.name], name=receipt.name)
    assert keys.header.kind == "walks"
    assert keys.header.rate == 0.1
    assert keys.keys == task.keys
    with pytest.raises(ChunkError, match="walks"):
        decode(store.files[receipt.name])
    with pytest.raises(ChunkError, match="not walks with margin"):
        decode_walks(store.files[receipt.name], "margin", name=receipt.name)


def test_a_part_of_a_task_of_walks_walks_the_same_ways():
    task = walk_task()
    part = task.part([3, 1], attempt=2)
    assert np.array_equal(part.orders, task.orders[[3, 1]])
    assert (part.keys, part.rate, part.attempt) == ((task.keys[3], task.keys[1]), 0.1, 2)


def test_a_walk_that_diverges_is_a_failure_with_the_mend():
    store = Memory()
    learner = logistic()
    wild = dataclasses.replace(learner, data=dataclasses.replace(learner.data, features=learner.data.features * 1e200))
    outcome = ChunkTrainer(wild, store, FACTS, worker="w").train(walk_task(rate=1e200))
    assert isinstance(outcome, Failure)
    assert outcome.kind == "non_finite"
    assert "learning_rate" in outcome.reason
    assert not store.files


def test_what_cannot_walk_is_a_failure_and_failures_are_rows_of_walks():
    facts = dataclasses.replace(FACTS, losses=("squared_error",))
    learner = make_learner(RidgeSpec(), regression_data(n=N, n_test=N_TEST))
    task = walk_task(rows=2)
    outcome = ChunkTrainer(learner, Memory(), facts, worker="w").train(task)
    assert isinstance(outcome, Failure)
    assert "cannot walk" in outcome.reason
    name, content = failure_chunk(task, outcome, 3, facts)
    keys = decode_keys(content, name=name)
    assert keys.header.kind == "walks"
    assert all("cannot walk" in reason for reason in keys.failures)
    found = decode_walks(content, "squared_error", name=name)
    assert found.failed.all()
    assert np.isnan(found.losses).all()
