"""Workers killed at random moments, again and again: no row is lost, none is stored twice, none is blamed."""

import os
import signal
import time

import numpy as np
import psutil
import pytest
import stub_setup
from stub_setup import ABORTS, NAN, RAISES, TRAINS, StubSetup
from test_ray_pool import Ledger, task

from orchestrator.cluster.pool_ray import RayPool
from orchestrator.cluster.ray_nodes import Ask
from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy

pytestmark = [pytest.mark.slow, pytest.mark.ray]


class Killer:
    """Kills a worker's process at moments drawn from the seed, at least 2 s apart so that work goes on between."""

    def __init__(self, folder, seed, kills):
        self._folder, self._rng, self.left = folder, np.random.default_rng(seed), kills
        self._next = time.monotonic() + 3.0
        self.killed = 0

    def __call__(self):
        pids = [int(path.read_text()) for path in self._folder.glob("*.pid") if path.read_text()]
        alive = sorted(pid for pid in pids if psutil.pid_exists(pid))
        if not alive or not self.left or time.monotonic() < self._next:
            return
        os.kill(int(self._rng.choice(alive)), signal.SIGKILL if self._rng.random() < 0.8 else signal.SIGTERM)
        self.left, self.killed = self.left - 1, self.killed + 1
        self._next = time.monotonic() + float(self._rng.uniform(2.0, 5.0))


@pytest.mark.parametrize("seed", range(3))
def test_ten_random_kills_cost_no_row(ray_cluster, tmp_path, seed):
    import ray

    ray.cloudpickle.register_pickle_by_value(stub_setup)
    guilty = {3: ABORTS, 40: RAISES, 77: NAN}
    tasks = [task(number, [TRAINS] * 5 + [guilty.get(number, TRAINS)]) for number in range(120)]
    killer = Killer(tmp_path, seed, 10)
    pool, ledger = RayPool(StubSetup(str(tmp_path), 0.05), ask=Ask(), count=2), Ledger(killer)
    policy = Policy(loss_pause=0.1, time_limit=30)
    summary = carry_out(iter(tasks), pool, ledger, policy=policy, clock=time.monotonic, stopping=lambda: 0)
    pool.close()
    planned = {each for one in tasks for each in one.keys}
    expected = {tasks[number].keys[5] for number in guilty}
    assert killer.killed >= 5, f"seed {seed}: too few kills to tell"
    assert set(ledger.failures) == expected, f"seed {seed}: {ledger.failures}"
    assert set(ledger.rows) == planned - expected
    assert len(ledger.rows) == len(planned) - 3
    assert summary.counts.losses <= killer.killed + 2 * 3 + 3
