"""Run as a process of its own: a job's blocks of gradients on a Ray that claims two GPUs; says who computed what."""

import json
import os
import sys
import tempfile
from pathlib import Path

import ray

from workers.gradient_file import GradientTask
from workers.gradient_work import GradientWork

CLUSTER = {"address": "local", "num_cpus": 2, "num_gpus": 2, "include_dashboard": False}


class Telling(GradientWork):
    """Writes down, for each block, the process and the GPUs that it sees."""

    folder = ""

    def store(self, task: GradientTask) -> str:
        name = super().store(task)
        seen = {"process": os.getpid(), "devices": os.environ.get("CUDA_VISIBLE_DEVICES")}
        (Path(self.folder) / name).with_suffix(".json").write_text(json.dumps(seen))
        return name


def main(job: str, folder: str) -> None:
    from orchestrator import load_job, run
    from orchestrator.cluster import gradient_crew

    Telling.folder = folder
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    gradient_crew.GradientWork = Telling  # type: ignore[misc]
    with tempfile.TemporaryDirectory(prefix="ray-") as place:  # beside any other Ray of this machine
        ray.init(**CLUSTER, log_to_driver=False, _temp_dir=place, _node_ip_address="127.0.0.1")
        try:
            run(load_job(Path(job)))
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
