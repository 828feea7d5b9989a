"""Run as a process of its own: what starting Ray here does to the machine, as JSON on the last line."""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil


def sockets(processes):
    return sorted(
        {
            each.laddr.ip
            for process in processes
            for each in process.net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        }
    )


def modes(folder):
    return sorted({oct(path.stat().st_mode & 0o077) for path in folder.rglob("*") if path.is_file()})


def interrupt_group(worker):
    """What Ctrl-C on a terminal does: every process of the group gets the signal."""
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    os.killpg(os.getpgrp(), signal.SIGINT)
    time.sleep(1.0)
    signal.signal(signal.SIGINT, before)
    return {"driver_interrupted": bool(came), "worker_interrupted": not psutil.pid_exists(worker)}


def main(evil):
    import ray
    import stub_setup

    from orchestrator.cluster.pool_ray import RayPool
    from orchestrator.cluster.ray_cluster import open_cluster
    from orchestrator.cluster.ray_nodes import Ask
    from orchestrator.errors import ResourceMissing

    ray.cloudpickle.register_pickle_by_value(stub_setup)
    answer, store = {}, tempfile.mkdtemp()
    before, umask = dict(os.environ), os.umask(0o022)
    os.umask(0o022)
    os.chdir(evil)
    with open_cluster("local", cpus=1):
        answer["cwd"] = str(Path.cwd())
        pool = RayPool(stub_setup.StubSetup(store), ask=Ask(), count=1)
        while not pool.workers():
            pool.next_finished(0.2)
        mine = [psutil.Process(), *psutil.Process().children(recursive=True)]
        token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        answer["sockets"] = sockets(mine)
        answer["token_mode"] = oct(token.stat().st_mode & 0o777)
        answer["open_files"] = modes(token.parent)
        answer["token_shown"] = any(token.read_text() in " ".join(process.cmdline()) for process in mine)
        answer["environment"] = os.environ["RAY_AUTH_MODE"]
        worker = int(Path(store, "worker-1.pid").read_text())
        answer |= interrupt_group(worker)
        os.kill(worker, signal.SIGKILL)
        time.sleep(2.0)  # what Ray has to say, it says within two seconds
        pool.close()
    _, alive = psutil.wait_procs(mine[1:], timeout=10)
    answer["left"] = [process.pid for process in alive]
    answer["folder_left"] = token.parent.exists()
    answer["environment_changed"] = sorted(
        name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)
    )
    answer["umask_back"] = os.umask(umask) == 0o022
    os.environ["PYTHONPATH"] = evil
    with open_cluster("local", cpus=1):
        pool = RayPool(stub_setup.StubSetup(store), ask=Ask(), count=1)
        try:
            while not pool.workers():
                pool.next_finished(0.2)
        except ResourceMissing as error:
            answer["shadowed"] = str(error)
        pool.close()
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
