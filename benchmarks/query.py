"""How fast are questions to the store, against plain NumPy on the same arrays in memory?

SQL on the wide views and the Python API on the read cache, in one run; then memory at 10^6 subsets.

    python benchmarks/query.py
"""

import gc
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness.table import machine, print_table
from benchmarks.harness.timing import in_turn, ratio
from orchestrator.query.engine import Limits, answer
from orchestrator.query.loss_views import losses_table, members_table, retrains_table
from orchestrator.store.cached_rows import CachedRows
from orchestrator.store.loss_store import LossStore
from orchestrator.store.loss_table import LossTable
from orchestrator.store.read_cache import cached_rows
from workers.chunk_file import chunk_name, encode
from workers.chunk_types import ChunkHeader, ChunkRows, Fingerprints
from workers.stores.folder import FolderStore

SUBSETS, N, N_TEST = 20_000, 2_000, 1_000
MANY, FEW_TESTS = 1_000_000, 20
PRINTS = Fingerprints(train="a", test="b", learner="c", code="d")
QUESTIONS = {
    "all losses of test 17": "select key, loss_at(17) from retrains",
    "mean loss with 3, without 9": "select avg(mean_cross_entropy) from retrains where has(3) and not has(9)",
    "the same on test 5 alone": "select avg(loss_at(5)) from retrains where has(3) and not has(9)",
    "the 100 worst subsets for test 5": "select key, loss_at(5) as loss from retrains order by loss desc limit 100",
    "test 5 on the long view `losses`": "select avg(loss) from losses where test_index = 5",
    "members of the 3rd instance, long view": "select count(*) from members where train_index = 3",
}


def write_store(folder: Path, subsets: int, n: int, n_test: int, rows_a_chunk: int = 2_000) -> LossStore:
    """Chunk files of random subsets and losses, and the store that reads them."""
    chunks = FolderStore(folder / "chunks")
    rng = np.random.default_rng(1)
    for number in range(subsets // rows_a_chunk):
        members = rng.integers(0, 256, (rows_a_chunk, n // 8), dtype=np.uint8)
        rows = ChunkRows(
            keys=tuple(rng.bytes(16) for _ in range(rows_a_chunk)),
            members=members,
            sizes=np.bitwise_count(members).sum(axis=1, dtype=np.int64),
            seeds=np.zeros(rows_a_chunk, dtype=np.uint64),
            replicates=np.zeros(rows_a_chunk, dtype=np.int64),
            seconds=np.ones(rows_a_chunk, dtype=np.float32),
            attempts=np.ones(rows_a_chunk, dtype=np.int64),
            losses={"cross_entropy": rng.gamma(1.0, 1.0, (rows_a_chunk, n_test)).astype(np.float32)},
        )
        header = ChunkHeader("bench", number, PRINTS, n, n_test, ("cross_entropy",), (), "numpy", 1, "w")
        content = encode(header, rows)
        chunks.put(chunk_name(number, rows.keys, rows.replicates, content), content)
    store = LossStore({"bench": chunks}, PRINTS, n=n, n_test=n_test)
    store.refresh()
    return store


def sql(rows: CachedRows, statement: str) -> int:
    """Answer one statement as the command does; returns its number of rows."""
    views = {
        "retrains": lambda: retrains_table(rows),
        "losses": lambda: losses_table(rows, print),
        "members": lambda: members_table(rows, print),
    }
    with answer(statement, views, Limits()) as reader:
        return sum(batch.num_rows for batch in reader)


def numpy_answers(losses: np.ndarray, members: np.ndarray) -> dict[str, Callable[[], object]]:
    """The same questions to a matrix of losses [R, n_test] and of members [R, n] in memory."""
    names = list(QUESTIONS)
    return {
        names[0]: lambda: np.array(losses[:, 17]),
        names[1]: lambda: losses[members[:, 3] & ~members[:, 9]].mean(axis=0),
        names[2]: lambda: np.mean(losses[members[:, 3] & ~members[:, 9], 5]),
        names[3]: lambda: np.argsort(-losses[:, 5])[:100],
    }


def api_answers(table: LossTable) -> dict[str, Callable[[], object]]:
    """The same questions by the Python API on the read cache."""
    names = list(QUESTIONS)
    return {
        names[0]: lambda: np.array(table.rows.columns["cross_entropy"][17]),
        names[1]: lambda: table.mean_loss(containing=[3], excluding=[9]),
        names[2]: lambda: table.mean_loss(containing=[3], excluding=[9], test=5),
        names[3]: lambda: table.worst(5, count=100),
    }


def anonymous_bytes() -> int:
    """Memory of this process that no file backs."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def speed(folder: Path) -> None:
    """20,000 subsets x 2,000 instances x 1,000 test losses (80 MB)."""
    store = write_store(folder, SUBSETS, N, N_TEST)
    build = in_turn({"build": lambda: cached_rows(store, folder / "cache")}, turns=1, warmup=0)["build"]
    rows = cached_rows(store, folder / "cache")
    losses, members = np.array(rows.losses["cross_entropy"]), np.unpackbits(rows.members, axis=1, bitorder="little")
    plain, api = numpy_answers(losses, members.astype(bool)), api_answers(LossTable(rows))
    table = []
    for question, statement in QUESTIONS.items():
        candidates: dict[str, Callable[[], object]] = {"sql": lambda statement=statement: sql(rows, statement)}
        if question in plain:
            candidates |= {"numpy": plain[question], "api": api[question]}
        timed = in_turn(candidates, turns=5)
        figures = [f"{timed[name].median * 1e3:.2f}" if name in timed else "-" for name in ("sql", "numpy", "api")]
        relative = f"{ratio(timed['api'], timed['numpy']):.2f}" if "api" in timed else "-"
        table.append((question, *figures, relative, "yes" if timed["sql"].median < 1 else "NO"))
    print(f"{SUBSETS:,} subsets, n = {N:,}, n_test = {N_TEST:,}; the read cache is made in {build.median:.1f} s, once")
    print_table(("question", "SQL ms", "NumPy ms", "Python API ms", "API / NumPy", "SQL below 1 s"), table)


def memory(folder: Path) -> None:
    """10^6 subsets: anonymous memory that questions add."""
    rows = cached_rows(write_store(folder, MANY, 400, FEW_TESTS, 20_000), folder / "cache")
    table = LossTable(rows)
    asked: dict[str, Callable[[], object]] = {
        "SQL: mean of test 5 with 3, without 9": lambda: sql(rows, QUESTIONS["the same on test 5 alone"]),
        "SQL: means by size": lambda: sql(rows, "select size, avg(loss_at(5)) from retrains group by size"),
        "SQL: all of `losses` (2 x 10^7 rows)": lambda: sql(
            rows, "select test_index, avg(loss) from losses group by 1"
        ),
        "API: mean_loss with 3, without 9": lambda: table.mean_loss(containing=[3], excluding=[9]),
        "API: difference(3, test=5)": lambda: table.difference(3, test=5),
    }
    figures = []
    for name, ask in asked.items():
        gc.collect()
        before = anonymous_bytes()
        took = in_turn({name: ask}, turns=1, warmup=0)[name].median
        figures.append((name, f"{took:.2f}", f"{(anonymous_bytes() - before) / 1e6:.0f}"))
    print(f"\n{MANY:,} subsets, n = 400, n_test = {FEW_TESTS}: the memory limit of a query is 1 GB")
    print_table(("question", "s", "anonymous memory kept after it, MB"), figures)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    print(machine("duckdb", "pyarrow"))
    with tempfile.TemporaryDirectory() as folder:
        speed(Path(folder) / "speed")
        memory(Path(folder) / "memory")
