"""Run as a process of its own: one campaign on a cluster of several nodes, and what happens to the nodes meanwhile."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import ray
import stub_setup
from ray.cluster_utils import Cluster
from test_ray_pool import Ledger, task

from orchestrator.cluster.pool_ray import RayPool
from orchestrator.cluster.ray_cluster import open_cluster
from orchestrator.cluster.ray_nodes import Ask
from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.errors import ResourceMissing

ASK = Ask(cpus=1.0, resources={"work": 1.0})


class Trial:
    """Each name is a method: called at every tick, it does its harm once."""

    def __init__(self, name):
        self.name = name
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.nodes = [self.add()] if name != "lose" else [self.add(), self.add()]
        self.workers, self.notes, self.harm_at, self.more_after, self.back = [], set(), None, None, False

    def add(self):
        return self.cluster.add_node(num_cpus=2, resources={"work": 2.0})

    def tick(self, progress):
        self.notes.add(progress.note)
        if self.harm_at is None and progress.counts.rows_stored > 20:
            self.workers.append(progress.workers)
            self.harm_at = time.monotonic()
            getattr(self, self.name)()
        if self.name == "join" and self.more_after is None and progress.workers > 2:
            self.more_after = time.monotonic() - self.harm_at
        if self.name == "return" and self.harm_at and not self.back and time.monotonic() - self.harm_at > 10:
            self.back = True
            self.add()

    def connect(self):
        pass

    def lose(self):
        self.cluster.remove_node(self.nodes[0], allow_graceful=False)

    def join(self):
        self.add()

    def _return(self):
        self.cluster.remove_node(self.nodes[0], allow_graceful=False)

    def head(self):
        [info] = self.cluster.head_node.all_processes["gcs_server"]
        os.kill(info.process.pid, signal.SIGKILL)


setattr(Trial, "return", Trial._return)


def main(name, folder):
    trial = Trial(name)
    address = trial.cluster.address
    open_cluster(address, timeout=30.0)
    ray.cloudpickle.register_pickle_by_value(stub_setup)
    pool = RayPool(stub_setup.StubSetup(folder, 0.02), ask=ASK)
    while len(pool.workers()) < 2 * len(trial.nodes):
        pool.next_finished(0.2)
    ledger = Ledger()
    ledger.tick = trial.tick
    tasks = [task(number, [stub_setup.TRAINS] * 5) for number in range({"join": 600, "head": 3000}.get(name, 250))]
    answer, began = {"planned": 5 * len(tasks), "error": ""}, time.monotonic()
    try:
        summary = carry_out(iter(tasks), pool, ledger, policy=Policy(), clock=time.monotonic, stopping=lambda: 0)
        answer["retries"] = summary.counts.retries
    except ResourceMissing as error:
        answer["error"] = str(error)
    answer |= {
        "rows": len(set(ledger.rows)),
        "twice": len(ledger.rows) - len(set(ledger.rows)),
        "failures": len(ledger.failures),
        "workers": [*trial.workers, len(pool.workers())],
        "notes": sorted(trial.notes),
        "seconds_until_more": trial.more_after,
        "seconds": time.monotonic() - began,
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    if name != "head":
        pool.close()
        ray.shutdown()
    for node in [*trial.cluster.worker_nodes, trial.cluster.head_node]:
        node.kill_all_processes(check_alive=False, allow_graceful=False)
    os._exit(0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1], sys.argv[2])
