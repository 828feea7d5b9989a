"""How near does aggregation come to this machine's matrix product, in how much memory, and what does Ray give?

20,000 subsets x 2,000 instances x 1,000 test losses. Useful work of a value with errors is two products (losses and
their squares) of members^T with [K, n_test]: 4 K n n_test operations. What an estimator carries out itself may be
more or less: sample reuse takes these two products; the default takes one of them, the other's use being had by
algebra, and for each 1,024 rows a factor of their covariance, [1024, 1024], with two triangular solves a column. The
product rate is measured in the same run. Memory is what aggregation adds at its peak, of blocks of rows that a store
would stream, beside the result's three arrays [n, n_test].
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
from harness.table import machine, print_table
from harness.timing import in_turn, ratio
from threadpoolctl import threadpool_limits

from estimators.aggregators.adaptive_semivalue import ROWS_AT_A_TIME
from estimators.aggregators.blocks import Again
from estimators.designs import make_design
from estimators.retrains import EndRows, Retrains
from orchestrator.cluster.influence_tasks import RayTasks
from orchestrator.cluster.ray_cluster import open_cluster
from orchestrator.influences.work import InfluenceWork, InThisProcess
from workers.value_work import ValueRequest

PRODUCTS = 20
N, N_TEST = 2000, 1000
VALUES = ("banzhaf_sample_reuse", "banzhaf")


def stream(members: np.ndarray, losses: np.ndarray) -> Iterator[Retrains]:
    """The rows as a store reads them, 256 at a time."""
    for start in range(0, len(members), 256):
        yield Retrains(members[start : start + 256], losses[start : start + 256])


def works(rows: int) -> dict[str, InfluenceWork]:
    """Each value's work on the same rows."""
    rng = np.random.default_rng(0)
    design = make_design("bernoulli", n=N, seed=0)
    members = design.draws(0, rows)
    losses = (1.0 + members[:, :40] @ rng.normal(size=(40, N_TEST)) / 40).astype(np.float32)
    losses += 0.3 * rng.normal(size=losses.shape).astype(np.float32)
    ends = EndRows(full=losses[:1].astype(np.float64), empty=losses[1].astype(np.float64), deterministic=True)
    again = Again(lambda: stream(members, losses))
    return {value: InfluenceWork(ValueRequest(value, "loss", design, ends), again, rows) for value in VALUES}


def own_operations(value: str, rows: int) -> float:
    """What the estimator itself carries out, in double precision or its worth: single precision counts half."""
    if value == "banzhaf_sample_reuse":
        return 4.0 * rows * N * N_TEST
    m = ROWS_AT_A_TIME
    return rows * (2.0 * N * N_TEST + 2.0 * m * N_TEST + 0.5 * m * N + 2.0 / 3.0 * m * m)


def peak_memory(work: Callable[[], object]) -> int:
    """Bytes that it adds at its peak."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subsets", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--no-ray", action="store_true")
    given = parser.parse_args()
    print(machine("threadpoolctl"))
    asked = works(given.subsets)
    square = np.random.default_rng(1).normal(size=(1024, 1024))

    def product() -> None:
        for _ in range(PRODUCTS):
            square @ square

    here = InThisProcess()
    candidates = {value: lambda work=work: here.influence(work) for value, work in asked.items()}
    with threadpool_limits(1, user_api="blas"):
        timed = in_turn({"product": product, **candidates}, turns=given.turns, warmup=0, clock=time.process_time)
    rate = PRODUCTS * 2.0 * 1024**3 / timed["product"].median
    result = 3 * 8 * N * N_TEST
    table = []
    for value, work in asked.items():
        seconds = timed[value].median
        useful, own = 4.0 * given.subsets * N * N_TEST / seconds, own_operations(value, given.subsets) / seconds
        peak = peak_memory(lambda work=work: here.influence(work)) / result
        shares = (f"{each:.2f}" for each in (useful / rate, own / rate, peak))
        table.append([value, f"{seconds:.1f}", f"{useful / 1e9:.1f}", *shares])
    print(f"product rate on one thread: {rate / 1e9:.1f} GFLOP/s; result {result / 1e6:.0f} MB\n")
    names = [
        "value",
        "seconds",
        "useful GFLOP/s",
        "of the product rate",
        "its own of that rate",
        "peak memory / result",
    ]
    print_table(names, table)
    if not given.no_ray:
        print(f"\n{ray_line(asked['banzhaf'], given.turns)}")


def ray_line(work: InfluenceWork, turns: int) -> str:
    """How much faster tasks on two CPUs are, and whether they give the same bits."""
    here = InThisProcess()
    with open_cluster("local", cpus=2):
        there = RayTasks()
        same = there.influence(work).values.tobytes() == here.influence(work).values.tobytes()
        candidates = {"here": lambda: here.influence(work), "ray": lambda: there.influence(work)}
        timed = in_turn(candidates, turns=turns, warmup=0)
    gain, seconds = ratio(timed["here"], timed["ray"]), timed["ray"].median
    bits = "the same bits" if same else "OTHER BITS"
    return f"banzhaf as Ray tasks on two CPUs: {seconds:.1f} s, {gain:.2f} x as fast as one process, {bits}"


if __name__ == "__main__":
    main()
