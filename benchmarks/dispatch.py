"""What does the driver itself cost a chunk, end to end: planning, sending, recording, statistics, MLflow?

A whole job whose learner only sleeps, one retrain a chunk, on a fleet of actors without torch. The driver's CPU time
(all its threads) is taken between the first chunk sent and the last received, its memory every 1,000 chunks.

    python benchmarks/dispatch.py [CHUNKS [WORKERS]]      # 10,000 chunks on 16 workers
"""

import io
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import ray
from harness.table import machine, print_table

from orchestrator import Job, arrays_data, run, session
from orchestrator.cluster.ray_cluster import open_cluster
from orchestrator.phases import Phases
from orchestrator.progress import Screen

LEARNER = """
import time
import numpy as np

def losses(members, seed, *, folder=None):
    time.sleep(0.02)
    return {"cross_entropy": np.abs(np.cos(members.sum() + np.arange(10.0))).astype(np.float32)}
"""
N, N_TEST = 60, 10


@dataclass(slots=True)
class Watched(Phases):
    """Phases, and the driver's CPU seconds and memory while chunks come back."""

    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    chunks: int = 0

    def sent(self, now: float) -> None:
        """The first chunk starts the count."""
        if self.first_sent is None:
            self.cpu.append(time.process_time())
        Phases.sent(self, now)

    def received(self, now: float, *, workers: int) -> None:
        """Every 1,000 chunks the memory is looked at."""
        Phases.received(self, now, workers=workers)
        self.chunks += 1
        if self.chunks % 1000 == 0:
            self.cpu.append(time.process_time())
            self.memory.append(psutil.Process().memory_info().rss / 1e6)


def carried_out(address: str, chunks: int, workers: int) -> Watched:
    """One job of so many chunks of one retrain."""
    generator = np.random.default_rng(1)
    X, y = generator.normal(size=(N + N_TEST, 3)), np.arange(N + N_TEST) % 2
    watched = Watched()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sleep.py").write_text(LEARNER.replace("0.02", "0.0") if address == "in_process" else LEARNER)
        job = Job(
            name="dispatch",
            data=arrays_data(X[:N], y[:N], X[N:], y[N:]),
            learner={"kind": "function", "function": "sleep.py:losses", "deterministic": True},
            campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": chunks}],
            cluster={"address": address},
            workers={"cpus": 0.1, "count": workers},
            folder=folder,
        )
        run(job, screen=Screen(io.StringIO()), phases=watched)
    return watched


class Sleeper:
    """What a worker does here, without anything of ours around it."""

    def train(self, task: dict[str, object]) -> dict[str, object]:
        """Sleep, and answer with as much as a receipt holds."""
        time.sleep(0.02)
        return task


def bare(chunks: int, workers: int) -> list[str]:
    """The floor: the same calls to actors by Ray alone, two in flight for each, in the same run."""
    with open_cluster("local"):
        actors = [ray.remote(Sleeper).options(num_cpus=0.1).remote() for _ in range(workers)]
        task = {"keys": (b"k" * 16,), "members": np.zeros((1, 8), np.uint8), "seeds": np.zeros(1, np.uint64)}
        ray.get([actor.train.remote(task) for actor in actors])
        began, cpu = time.monotonic(), time.process_time()
        flying = {actor.train.remote(task): actor for actor in actors * 2}
        done = 0
        while done < chunks:
            ready, _ = ray.wait(list(flying), num_returns=1)
            for ref in ready:
                ray.get(ref)
                actor = flying.pop(ref)
                flying[actor.train.remote(task)] = actor
                done += 1
        spent, seconds = time.process_time() - cpu, time.monotonic() - began
    return ["Ray's own calls alone", f"{done:,}", f"{spent / done * 1e3:.2f}", f"{done / seconds:.0f}", ""]


def growth(memory: list[float]) -> float:
    """MB for 1,000 chunks: the slope over the second half of the run."""
    half = memory[len(memory) // 2 :]
    return float(np.polyfit(np.arange(len(half)), half, 1)[0]) if len(half) > 1 else float("nan")


def row(name: str, watched: Watched) -> list[str]:
    """One line of the table."""
    seconds = (watched.last_received or 0.0) - (watched.first_sent or 0.0)
    cpu = (watched.cpu[-1] - watched.cpu[0]) / (1000 * (len(watched.cpu) - 1)) * 1e3
    return [
        name,
        f"{watched.chunks:,}",
        f"{cpu:.2f}",
        f"{watched.chunks / seconds:.0f}",
        f"{growth(watched.memory):.2f}",
    ]


def main(chunks: int, workers: int) -> None:
    """Run on Ray and in process, and print."""
    session.chunk_rows = lambda **_: 1  # a chunk of one retrain, which no job would have
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(machine("ray", "mlflow"))
    rows = [
        bare(min(chunks, 3000), workers),
        row(f"Ray, {workers} workers that sleep 20 ms", carried_out("local", chunks, workers)),
        row("in process (training and writing included)", carried_out("in_process", min(chunks, 3000), 1)),
    ]
    print_table(["pool", "chunks", "driver CPU, ms a chunk", "chunks/s", "memory, MB for 1,000 chunks"], rows)


if __name__ == "__main__":
    main(*([int(each) for each in sys.argv[1:]] + [10_000, 16][len(sys.argv) - 1 :]))
