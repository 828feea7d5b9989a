"""Tasks and outcomes as messages: what comes out is what went in, and a list holds nothing but plain values."""

from dataclasses import fields

import numpy as np
import pytest

from workers.outcomes import ChunkTask, Failure, Receipt, SideTask, walk_task
from workers.task_message import outcome_message, outcome_of, task_message, task_of


def task(rows: int, *, attempt: int = 1) -> ChunkTask:
    generator = np.random.default_rng(rows)
    return ChunkTask(
        campaign="c-1",
        chunk=7,
        members=generator.integers(0, 256, size=(rows, 5), dtype=np.uint8),
        keys=tuple(generator.bytes(16) for _ in range(rows)),
        seeds=generator.integers(0, 2**64, size=rows, dtype=np.uint64),
        replicates=np.arange(rows, dtype=np.int64),
        together=4,
        attempt=attempt,
    )


def assert_same_task(found: ChunkTask, given: ChunkTask) -> None:
    assert type(found) is type(given)
    for each in fields(given):
        a, b = getattr(found, each.name), getattr(given, each.name)
        if isinstance(b, np.ndarray):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            assert np.array_equal(a, b)
        else:
            assert a == b


def is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(map(is_plain, [*value, *value.values()]))
    return type(value) in {str, int, float, bytes}


@pytest.mark.parametrize("rows", [1, 9])
def test_a_task_of_retrains_is_a_list_of_plain_values_and_comes_back_as_it_was(rows):
    given = task(rows, attempt=3)
    message = task_message(given)
    assert isinstance(message, list)
    assert is_plain(message)
    assert_same_task(task_of(message), given)
    part = given.part([rows - 1], attempt=4)  # of fancy indexing, and of arrays that are not contiguous
    assert_same_task(task_of(task_message(part)), part)


def test_other_kinds_of_task_travel_as_they_are():
    walk = walk_task(task(2), np.array([[0, 1], [1, 0]]), 0.1)
    names = {each.name: getattr(walk, each.name) for each in fields(ChunkTask)}
    side = SideTask(**names, models="m", failures=(None, "no"))
    assert task_of(task_message(walk)) is walk
    assert task_of(task_message(side)) is side


def test_a_receipt_is_a_list_of_plain_values_and_comes_back_as_it_was():
    receipt = Receipt(7, "name", "ab" * 32, 2, 3000, 0.5, "worker-1", "numpy", {"cross_entropy": 0.25}, 4, 0.125)
    message = outcome_message(receipt)
    assert is_plain(message)
    assert outcome_of(message) == receipt
    failure = Failure(7, "exception", "why", "worker-1", 0.5, (1,))
    assert outcome_of(outcome_message(failure)) is failure
