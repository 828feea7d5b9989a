"""Do two actors gain as much over one as two bare processes of the same learner do, in the same run?

The learner of examples/label_errors, with its losses on the training instances, 32 retrains together. Bare processes
only train, one or two at a time; actors get chunks of such subsets from the driver's loop and write their files. Each
turn runs one and two of both, so that what the machine does meanwhile meets all four alike.

    python benchmarks/actors.py [RETRAINS A WORKER [TURNS]]
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from harness.table import machine, print_table

from orchestrator import load_job
from orchestrator.cluster.pool_ray import RayPool
from orchestrator.cluster.ray_cluster import open_cluster
from orchestrator.cluster.ray_nodes import Ask
from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.phases import Phases
from orchestrator.preparation import Prepared, prepare
from workers.outcomes import ChunkTask
from workers.setup import CampaignPlace, WorkerSetup
from workers.training import ChunkFacts

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "label_errors" / "job.yaml"
K = 32


class Forgetful:
    """A recorder of nothing."""

    def stored(self, task: object, receipt: object) -> None:
        """Nothing."""

    def failed(self, task: object, failure: object, attempts: int) -> None:
        """A benchmark has no failures."""
        raise RuntimeError(f"{task}, attempt {attempts}: {failure}")

    def tick(self, progress: object) -> None:
        """Nothing."""


def prepared() -> Prepared:
    """The example, checked and loaded."""
    return prepare(load_job(EXAMPLE), lambda _: None)


def bare_process(start: object, done: object, retrains: int) -> None:
    """Train `retrains` subsets K at a time, when told to."""
    made = prepared()
    learner = made.learner(together=K, device="cpu")
    n = made.loaded.dataset.n
    members = np.random.default_rng(1).random((K, n)) < 0.7
    learner.retrain(members, np.arange(K, dtype=np.uint64))
    done.put(None)
    start.wait()
    began = time.monotonic()
    for _ in range(retrains // K):
        learner.retrain(members, np.arange(K, dtype=np.uint64))
    done.put((began, time.monotonic()))


def bare(count: int, retrains: int) -> float:
    """Retrains a second of so many bare processes."""
    context = multiprocessing.get_context("spawn")
    start, done = context.Event(), context.Queue()
    processes = [context.Process(target=bare_process, args=(start, done, retrains)) for _ in range(count)]
    for process in processes:
        process.start()
    for _ in processes:
        done.get(timeout=120)
    start.set()
    spans = [done.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    return count * retrains / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def tasks(made: Prepared, retrains: int) -> Iterator[ChunkTask]:
    """Chunks of two groups of K: as long as those of the job."""
    n, rows = made.loaded.dataset.n, 2 * K
    generator = np.random.default_rng(2)
    for chunk in range(retrains // rows):
        packed = np.packbits(generator.random((rows, n)) < 0.7, axis=1, bitorder="little")
        keys = tuple(generator.bytes(16) for _ in range(rows))
        yield ChunkTask("c", chunk, packed, keys, np.arange(rows, dtype=np.uint64), np.zeros(rows, np.int64), K)


def actors(count: int, retrains: int, made: Prepared) -> float:
    """Retrains a second of so many actors, between the first chunk sent and the last received."""
    data = made.loaded.dataset
    with tempfile.TemporaryDirectory() as folder:
        learner = made.job.learner
        train = learner.losses if learner.train_losses else ()
        facts = ChunkFacts("c", made.fingerprints, data.n, data.n_test, learner.losses, train)
        setup = WorkerSetup(learner, data, made.code, "cpu", K, {"c": CampaignPlace(folder, facts)})
        pool, phases = RayPool(setup, ask=Ask(), count=count), Phases()
        while len(pool.workers()) < count:
            pool.next_finished(0.2)
        summary = carry_out(
            tasks(made, count * retrains),
            pool,
            Forgetful(),
            policy=Policy(),
            clock=time.monotonic,
            stopping=lambda: 0,
            phases=phases,
        )
        pool.close()
    assert phases.first_sent is not None
    assert phases.last_received is not None
    return summary.counts.rows_stored / (phases.last_received - phases.first_sent)


def main(retrains: int, turns: int) -> None:
    """Take turns and print."""
    print(machine("ray"))
    made = prepared()
    rates: dict[str, list[float]] = {name: [] for name in ("bare 1", "bare 2", "actors 1", "actors 2")}
    with open_cluster("local", cpus=2):
        for _ in range(turns):
            for count in (1, 2):
                rates[f"bare {count}"].append(bare(count, retrains))
                rates[f"actors {count}"].append(actors(count, retrains, made))
    gains = {
        kind: [two / one for one, two in zip(rates[f"{kind} 1"], rates[f"{kind} 2"], strict=True)]
        for kind in ("bare", "actors")
    }
    share = [a / b for a, b in zip(gains["actors"], gains["bare"], strict=True)]
    each = [a / b for a, b in zip(rates["actors 2"], rates["bare 2"], strict=True)]
    rows = [[name, f"{statistics.median(found):.1f}"] for name, found in rates.items()]
    rows += [
        ["gain of two bare processes over one", f"{statistics.median(gains['bare']):.2f}"],
        ["gain of two actors over one", f"{statistics.median(gains['actors']):.2f}"],
        ["share of the gain that actors keep (to reach: 0.97)", f"{statistics.median(share):.2f}"],
        ["two actors against two bare processes", f"{statistics.median(each):.2f}"],
    ]
    print_table(["what", "retrains/s or ratio"], rows)


if __name__ == "__main__":
    main(*([int(each) for each in sys.argv[1:]] + [192, 2][len(sys.argv) - 1 :]))
