"""The pool in the driver's own process keeps the pool's law."""

import pytest
from simulated_cluster import Clock, Ledger, chunk_of

from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.driver.pool_in_process import InProcessPool
from workers.outcomes import Failure, Receipt


class Trainer:
    """Row 5 cannot be trained."""

    made = 0

    def __init__(self):
        Trainer.made += 1

    def train(self, task):
        if (5).to_bytes(16, "big") in task.keys:
            return Failure(task.chunk, "exception", "ValueError: five", "in-process")
        return Receipt(task.chunk, "name", "", task.rows, 1, 0.1, "in-process", "class")


def test_a_guilty_row_fails_and_the_trainer_is_made_once_when_it_is_needed():
    Trainer.made = 0
    pool, clock = InProcessPool(Trainer, sleep=lambda seconds: None), Clock()
    assert Trainer.made == 0
    ledger = Ledger(clock)
    tasks = [chunk_of(number, 4, first_key=4 * number) for number in range(5)]
    summary = carry_out(iter(tasks), pool, ledger, policy=Policy(), clock=clock, stopping=lambda: 0)
    assert Trainer.made == 1
    assert summary.counts.rows_stored == 19
    assert list(ledger.failures) == [5]


def test_an_error_of_making_the_trainer_is_the_callers():
    def broken():
        raise LookupError("no such model")

    pool = InProcessPool(broken)
    pool.submit(chunk_of(0, 2))
    with pytest.raises(LookupError):
        pool.next_finished(0.1)


def test_two_tasks_wait_at_most_and_none_after_close():
    pool, naps = InProcessPool(Trainer), []
    pool.submit(chunk_of(0, 2))
    pool.submit(chunk_of(1, 2))
    assert pool.free() == 0
    assert [running.since for running in pool.running()] == [None, None]
    pool.close()
    pool.close()
    assert pool.free() == 2
    pool = InProcessPool(Trainer, sleep=naps.append)
    assert pool.next_finished(0.25) is None
    assert naps == [0.25]
