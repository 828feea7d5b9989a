"""Does a store of 10^6 chunks open in seconds, and do opening, filtering and aggregating grow linearly?

A synthetic manifest of 10^6 files of one row opens through `LossStore` without listing; then real chunk files of ten
sizes of store are opened, filtered and averaged, before and after they are joined to large files.

    python benchmarks/store_size.py
"""

import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness.table import machine, print_table
from benchmarks.query import PRINTS, write_store
from orchestrator.plan import RowId
from orchestrator.store.compaction import compact
from orchestrator.store.loss_store import LossStore
from orchestrator.store.loss_table import LossTable
from orchestrator.store.manifest import ManifestFacts, ManifestRows, encode_manifest
from orchestrator.store.read_cache import cached_rows
from orchestrator.store.row_names import FileFacts
from workers.stores.folder import FolderStore

N, N_TEST, ROWS_A_CHUNK = 400, 100, 20


def synthetic(folder: Path, chunks: int) -> tuple[FolderStore, str]:
    """A store that holds nothing but the manifest of `chunks` files of one row each."""
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 256, (chunks, 16), dtype=np.uint8)
    facts = FileFacts(1, 0, 0.5, "numpy 2", 64, ("cross_entropy",), 9000)
    names = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(chunks)]
    files = [(f"{number:07d}-{name[:12]}-{name[12:24]}.parquet", facts) for number, name in enumerate(names)]
    zeros = np.zeros(chunks, dtype=np.int64)
    rows = ManifestRows(keys, zeros, np.arange(chunks), zeros, {}, files)
    name, content = encode_manifest(ManifestFacts("bench", PRINTS, N, N_TEST), rows)
    store = FolderStore(folder)
    store.put(name, content)
    return store, name


def opening(folder: Path) -> None:
    """Through a manifest, 10^4 to 10^6 chunks."""
    table = []
    for chunks in (10_000, 100_000, 1_000_000):
        files, name = synthetic(folder / str(chunks), chunks)
        began = time.perf_counter()
        store = LossStore({"bench": files}, PRINTS, n=N, n_test=N_TEST, manifests={"bench": name})
        store.refresh()
        opened = time.perf_counter() - began
        keys = np.random.default_rng(1).integers(0, 256, (chunks, 16), dtype=np.uint8)[:10_000]
        asked = [RowId(key.tobytes(), 0) for key in keys]
        began = time.perf_counter()
        assert store.missing(asked) == []
        found = time.perf_counter() - began
        size = len(files.get(name)) / 1e6
        began = time.perf_counter()
        assert store.facts().files == chunks
        facts = time.perf_counter() - began
        table.append((f"{chunks:,}", f"{opened:.2f}", f"{found * 1e3:.0f}", f"{facts * 1e3:.0f}", f"{size:.1f}"))
    print("opened through the manifest, nothing listed:")
    print_table(("chunks", "open s", "find 10,000 rows ms", "figures ms", "manifest MB"), table)


def growth(folder: Path) -> None:
    """Real files: seconds a row must not grow with the store."""
    table = []
    for chunks in (50, 200, 800):
        place = folder / str(chunks)
        written = write_store(place, chunks * ROWS_A_CHUNK, N, N_TEST, ROWS_A_CHUNK)
        files = written.chunks.stores["bench"]
        small = _measured(place / "a", lambda files=files: LossStore({"bench": files}, PRINTS, n=N, n_test=N_TEST))
        done = compact(written, "bench", [].append)
        manifests = {"bench": done.manifest}
        large = _measured(
            place / "b",
            lambda files=files, manifests=manifests: LossStore(
                {"bench": files}, PRINTS, n=N, n_test=N_TEST, manifests=manifests
            ),
        )
        for kind, figures in (("small files", small), (f"{done.large} joined, manifest", large)):
            rows = chunks * ROWS_A_CHUNK
            table.append((f"{chunks:,}", f"{rows:,}", kind, *(f"{1e6 * seconds / rows:.2f}" for seconds in figures)))
    print(f"\nmicroseconds a row (n = {N}, n_test = {N_TEST}, {ROWS_A_CHUNK} rows a chunk):")
    print_table(("chunks", "rows", "as", "open", "make the read cache", "filter and average"), table)


def _measured(cache: Path, make: Callable[[], LossStore]) -> tuple[float, float, float]:
    def seconds(call: Callable[[], object]) -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    opened = []
    for _ in range(3):
        store = make()
        opened.append(seconds(store.refresh))
    made = seconds(lambda: cached_rows(store, cache))
    table = LossTable(cached_rows(store, cache))
    asked = [seconds(lambda: table.mean_loss(containing=[3], excluding=[9])) for _ in range(5)]
    return statistics.median(opened), made, statistics.median(asked)


if __name__ == "__main__":
    print(machine("pyarrow"))
    with tempfile.TemporaryDirectory() as folder:
        opening(Path(folder) / "opening")
        growth(Path(folder) / "growth")
