"""Run as a process of its own: a Ray cluster of two nodes with token auth; prints its address, ends with its stdin.

With a folder as argument the second node is a machine that does not share it: an empty file system is mounted there,
in a mount namespace of that node's own.
"""

import os
import subprocess
import sys
import time

import ray
from ray.cluster_utils import Cluster


def main(hidden: str) -> None:
    head = {"num_cpus": 1, "include_dashboard": False, "resources": {"head": 1}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    remote = None
    if hidden:
        # fixed words, and paths that stand as arguments of their own: $0 and $@
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--address", cluster.address]
        mounted = 'mount -t tmpfs none "$0" && exec "$@"'
        remote = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", mounted, hidden, *words, "--num-cpus=1", "--block"],
            stdout=sys.stderr,
            start_new_session=True,
        )
        ray.init(address=cluster.address, log_to_driver=False)
        deadline = time.monotonic() + 60
        while sum(node["Alive"] for node in ray.nodes()) < 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        ray.shutdown()
    else:
        cluster.add_node(num_cpus=1)
    sys.stdout.write(cluster.address + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    if remote is not None:
        os.killpg(remote.pid, 9)
    for node in [*cluster.worker_nodes, cluster.head_node]:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
