"""Run as a process of its own: a Ray cluster of three nodes with its Jobs API and token auth; ends with its stdin.

Prints the address of the Jobs API.
"""

import sys

from ray.cluster_utils import Cluster


def main() -> None:
    head = {"num_cpus": 1, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": 0}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    sys.stdout.write(f"http://{cluster.head_node.address_info['webui_url']}\n")
    sys.stdout.flush()
    sys.stdin.read()
    for node in [*cluster.worker_nodes, cluster.head_node]:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


if __name__ == "__main__":
    main()
