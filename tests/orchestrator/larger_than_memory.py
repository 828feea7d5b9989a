"""A process that may take 150 MB more, and trains on 320 MB: FOLDER.

The limit is RLIMIT_DATA, which counts what a process holds for itself and not what it maps from files.
"""

import resource
import sys
from pathlib import Path

import numpy as np
from test_mapped_data import a_job

from orchestrator.preparation import prepare, smoke

ROWS, COLUMNS = 40_000, 2_000
ALLOWED = 150 * 2**20


def main() -> None:
    """Write the data, forbid to load them, and train."""
    import torch

    torch.set_num_threads(1)
    folder, random = Path(sys.argv[1]), np.random.default_rng(0)
    (folder / "train").mkdir()
    X = np.lib.format.open_memmap(folder / "train" / "X.npy", mode="w+", dtype=np.float32, shape=(ROWS, COLUMNS))
    for start in range(0, ROWS, 1000):
        X[start : start + 1000] = random.random((1000, COLUMNS), dtype=np.float32)
    y = (X[:, 0] > 0.5).astype(np.int64)
    X.flush()
    del X
    np.save(folder / "train" / "y.npy", y)
    np.savez(folder / "test.npz", X=random.random((50, COLUMNS), dtype=np.float32), y=np.arange(50) % 2)
    options = {"epochs": 1, "batch_size": 256, "together": 2, "arguments": {"inputs": COLUMNS}, "train_losses": True}
    small = {"train": "test.npz", "test": "test.npz", "overlap": "allow"}
    smoke(prepare(a_job(folder, small, **options), _quiet))  # libraries are loaded before memory is watched
    resource.setrlimit(resource.RLIMIT_DATA, (_data_in_use() + ALLOWED, resource.RLIM_INFINITY))
    try:
        np.load(folder / "train" / "X.npy")
    except MemoryError:
        sys.stdout.write("loading it whole: MemoryError\n")
    prepared = prepare(a_job(folder, {"train": "train", "test": "test.npz"}, **options), _quiet)
    members = random.random((2, ROWS)) < 0.3
    losses = prepared.learner().retrain(members, np.arange(2, dtype=np.uint64))
    assert losses.train is not None
    assert np.isfinite(losses.train["cross_entropy"]).all()
    sys.stdout.write("trained\n")
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    smoke(prepared)  # replaces instances in a private mapping, of which the limit would count every page
    sys.stdout.write("checked\n")


def _data_in_use() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1])


def _quiet(text: str) -> None:
    del text


main()
