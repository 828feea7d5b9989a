"""What do opening, asking and aggregating a store take at 10^4, 10^5 and 10^6 retrains: CPU time and peak memory?

A synthetic store of one campaign (random losses under the keys of a real plan, files of 20,000 rows, a manifest), each
phase in a process of its own. Memory is what no file backs (RssAnon), above what the process has before the phase;
the read cache is mapped files and may leave memory at any time. Columns a row must not grow with the store.

    python benchmarks/store_memory.py
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness.table import machine, print_table
from benchmarks.query import PRINTS, anonymous_bytes, sql
from estimators.designs import Parameters, design_made
from orchestrator.campaign import Campaign
from orchestrator.plan import Plan, PlanFacts
from orchestrator.store.compaction import rows_that_count, write_manifest
from orchestrator.store.loss_store import LossStore
from orchestrator.store.read_cache import cached_rows
from workers.chunk_file import chunk_name, encode
from workers.chunk_types import ChunkHeader
from workers.stores.folder import FolderStore
from workers.task_rows import rows_of

N, N_TEST, ROWS_A_FILE = 200, 20, 20_000
SIZES = (10_000, 100_000, 1_000_000)
LOSS = "cross_entropy"
MANIFEST = "manifest.txt"


def plan_of(draws: int) -> Plan:
    """A Bernoulli campaign on 200 instances."""
    parameters = Parameters(probability=0.5)
    facts = PlanFacts(
        "bench", "bernoulli", parameters, 1, 0, N, 1, ROWS_A_FILE, 1, (LOSS,), train_losses=False, deterministic=True
    )
    identities = np.random.default_rng(1).integers(0, 256, (N, 16), dtype=np.uint8)
    return Plan(facts, design_made("bernoulli", parameters, n=N, seed=1), identities, draws)


def written(folder: Path, draws: int) -> None:
    """The store of a finished campaign."""
    chunks, plan, rng = FolderStore(folder / "chunks"), plan_of(draws), np.random.default_rng(2)
    for task in plan.tasks(set(plan.row_ids())):
        rows = rows_of(
            task,
            seconds=np.ones(task.rows, dtype=np.float32),
            attempts=1,
            losses={LOSS: rng.random((task.rows, N_TEST), dtype=np.float32)},
        )
        header = ChunkHeader("bench", task.chunk, PRINTS, N, N_TEST, (LOSS,), (), "numpy", 1, "w")
        content = encode(header, rows)
        chunks.put(chunk_name(task.chunk, task.keys, task.replicates, content), content)
    store = LossStore({"bench": chunks}, PRINTS, n=N, n_test=N_TEST)
    store.refresh()
    (folder / MANIFEST).write_text(write_manifest(store, "bench", rows_that_count(store, "bench")), encoding="utf-8")


def opened(folder: Path) -> LossStore:
    """The store through its manifest."""
    name = (folder / MANIFEST).read_text(encoding="utf-8")
    chunks = {"bench": FolderStore(folder / "chunks")}
    store = LossStore(chunks, PRINTS, n=N, n_test=N_TEST, manifests={"bench": name})
    store.refresh()
    return store


def values(folder: Path, draws: int) -> object:
    """Banzhaf by the campaign's own way: rows in plan order, verified, block by block."""
    campaign = Campaign("bench", plan_of(draws), opened(folder), (LOSS,), deterministic=True, has_train_losses=False)
    return campaign.values("banzhaf_sample_reuse")


PHASES: dict[str, Callable[[Path, int], object]] = {
    "open": lambda folder, _: opened(folder),
    "make the read cache": lambda folder, _: cached_rows(opened(folder), folder / "cache"),
    "ask: mean of test 5 with 3, without 9": lambda folder, _: sql(
        cached_rows(opened(folder), folder / "cache"),
        "select avg(loss_at(5)) from retrains where has(3) and not has(9)",
    ),
    "aggregate: Banzhaf": values,
}


def measured(folder: Path, draws: int, phase: str) -> None:
    """Carry out one phase here and print its CPU seconds and peak memory in bytes."""
    peak, done = [anonymous_bytes()], threading.Event()
    before = peak[0]

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    PHASES[phase](folder, draws)
    seconds = time.process_time() - began
    done.set()
    watcher.join()
    print(f"{seconds} {max(peak[0], anonymous_bytes()) - before}")


def main() -> None:
    """All phases at all sizes."""
    print(machine("pyarrow"))
    table = []
    with tempfile.TemporaryDirectory() as place:
        for draws in SIZES:
            folder = Path(place) / str(draws)
            written(folder, draws)
            for phase in PHASES:
                words = [sys.executable, __file__, str(folder), str(draws), phase]
                said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
                seconds, peak = float(said[0]), int(said[1])
                a_row = f"{1e6 * seconds / draws:.2f}"
                table.append((phase, f"{draws:,}", f"{seconds:.2f}", a_row, f"{peak / 1e6:.0f}", f"{peak / draws:.0f}"))
    table.sort(key=lambda row: list(PHASES).index(row[0]))
    print(f"n = {N}, n_test = {N_TEST}, {ROWS_A_FILE:,} rows a file:")
    print_table(("phase", "retrains", "CPU s", "us a retrain", "peak MB", "bytes a retrain"), table)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measured(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    else:
        main()
