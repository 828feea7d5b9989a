"""The pool on real Ray actors: a chunk there and back, and workers that are killed, abort, hang and raise."""

import os
import signal
import time

import numpy as np
import psutil
import pytest
import stub_setup
from stub_setup import ABORTS, HANGS, NAN, RAISES, TRAINS, StubSetup, key

from orchestrator.cluster.pool_ray import RayPool
from orchestrator.cluster.ray_nodes import Ask
from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.errors import ResourceMissing
from workers.outcomes import ChunkTask

pytestmark = pytest.mark.ray


def task(number, kinds):
    rows = len(kinds)
    return ChunkTask(
        campaign="c",
        chunk=number,
        members=np.zeros((rows, 1), dtype=np.uint8),
        keys=tuple(key(kind, 100 * number + row) for row, kind in enumerate(kinds)),
        seeds=np.arange(rows, dtype=np.uint64),
        replicates=np.zeros(rows, dtype=np.int64),
        together=rows,
    )


@pytest.fixture(scope="session", autouse=True)
def _stub_by_value(ray_cluster):
    import ray

    ray.cloudpickle.register_pickle_by_value(stub_setup)
    yield
    ray.cloudpickle.unregister_pickle_by_value(stub_setup)


@pytest.fixture
def pool(ray_cluster, tmp_path):
    pool = RayPool(StubSetup(str(tmp_path), 0.01), ask=Ask(cpus=1.0), count=2)
    yield pool
    pool.close()


class Ledger:
    def __init__(self, on_tick=lambda: None):
        self.rows, self.failures, self.names, self._on_tick = [], {}, set(), on_tick

    def stored(self, task, receipt):
        self.rows += task.keys
        self.names.add(receipt.worker)

    def failed(self, task, failure, attempts):
        self.failures[task.keys[0]] = (failure, attempts)

    def tick(self, progress):
        self._on_tick()


def carry(tasks, pool, ledger, **options):
    policy = Policy(loss_pause=0.1, **options)
    return carry_out(iter(tasks), pool, ledger, policy=policy, clock=time.monotonic, stopping=lambda: 0)


def test_chunks_go_to_all_actors_and_come_back_once(pool, tmp_path):
    ledger = Ledger()
    tasks = [task(number, [TRAINS] * 3) for number in range(60)]
    summary = carry(tasks, pool, ledger)
    assert sorted(ledger.rows) == sorted(each for one in tasks for each in one.keys)
    assert len(ledger.names) == 2
    assert summary.counts.retries == 0


def test_a_killed_actor_costs_no_row(pool, tmp_path):
    killed = []

    def kill_one():
        pids = sorted(tmp_path.glob("*.pid"))
        if pids and not killed:
            killed.append(int(pids[0].read_text()))
            os.kill(killed[0], signal.SIGKILL)

    ledger = Ledger(kill_one)
    tasks = [task(number, [TRAINS] * 10) for number in range(40)]
    summary = carry(tasks, pool, ledger)
    assert killed
    assert summary.counts.rows_stored == 400
    assert not ledger.failures
    assert len(set(ledger.rows)) == len(ledger.rows) == 400
    assert summary.counts.losses <= 1


@pytest.mark.parametrize(
    ("kind", "recorded", "reason"),
    [
        (ABORTS, "died", "was lost"),
        (HANGS, "timeout", "longer than 1.5 s"),
        (RAISES, "exception", "ValueError: this subset cannot be trained"),
        (NAN, "non_finite", "NaN"),
    ],
)
def test_a_guilty_row_fails_with_its_reason_and_all_others_are_stored(pool, kind, recorded, reason):
    ledger = Ledger()
    tasks = [task(0, [TRAINS, kind]), *(task(number, [TRAINS] * 2) for number in range(1, 5))]
    began = time.monotonic()
    carry(tasks, pool, ledger, time_limit=1.5, tries=1, tries_alone=1)
    [(guilty, (failure, attempts))] = ledger.failures.items()
    assert guilty == tasks[0].keys[1]
    assert failure.kind == recorded
    assert reason in failure.reason
    assert attempts <= 5
    assert len(ledger.rows) == len(set(ledger.rows)) == 9
    assert time.monotonic() - began < 40


def test_a_stopped_process_is_ended_too(pool, tmp_path):
    pool_up(pool, 2)
    pid = int((tmp_path / "worker-1.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    pool.kill("worker-1")
    gone_by = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < gone_by:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)


def pool_up(pool, count):
    deadline = time.monotonic() + 60
    while len(pool.workers()) < count and time.monotonic() < deadline:
        pool.next_finished(0.2)
    assert len(pool.workers()) == count


def test_an_ask_that_no_node_has_is_refused_at_once_naming_both(ray_cluster, tmp_path):
    began = time.monotonic()
    with pytest.raises(
        ResourceMissing, match=r"asks for 1 CPUs, 1 GPUs; the largest of 1 nodes .* offers 2 CPUs, 0 GPUs"
    ):
        RayPool(StubSetup(str(tmp_path)), ask=Ask(cpus=1, gpus=1), wait_for_nodes=1.0)
    assert time.monotonic() - began < 10


def test_a_worker_that_cannot_load_says_why(ray_cluster, tmp_path):
    pool = RayPool(StubSetup(str(tmp_path / "absent")), ask=Ask(), count=1)
    with pytest.raises(ResourceMissing, match="FileNotFoundError"):
        pool_up(pool, 1)
    pool.close()
