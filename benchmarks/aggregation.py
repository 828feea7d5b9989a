"""How near does aggregation come to this machine's matrix product, and how much memory does it take?

20,000 subsets x 2,000 instances x 1,000 test losses. Useful work of a value with errors is two products (losses and
their squares) of members^T with [K, n_test]: 4 K n n_test operations. The product rate is measured in the same run.
Memory is what aggregation adds at its peak, of blocks of rows that a store would stream, beside the result's three
arrays [n, n_test].
"""

import argparse
import tracemalloc
from collections.abc import Iterator

import numpy as np
from harness.table import machine, print_table
from harness.timing import in_turn
from threadpoolctl import threadpool_limits

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains

PRODUCTS = 20
VALUES = ("banzhaf_sample_reuse", "banzhaf")


def stream(members: np.ndarray, losses: np.ndarray) -> Iterator[Retrains]:
    """The rows as a store reads them, 256 at a time."""
    for start in range(0, len(members), 256):
        yield Retrains(members[start : start + 256], losses[start : start + 256])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subsets", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=2)
    given = parser.parse_args()
    rows, n, n_test = given.subsets, 2000, 1000
    rng = np.random.default_rng(0)
    design = make_design("bernoulli", n=n, seed=0)
    members = design.draws(0, rows)
    losses = (1.0 + members[:, :40] @ rng.normal(size=(40, n_test)) / 40).astype(np.float32)
    losses += 0.3 * rng.normal(size=losses.shape).astype(np.float32)
    ends = EndRows(full=losses[:1].astype(np.float64), empty=losses[1].astype(np.float64), deterministic=True)
    print(machine("threadpoolctl"))

    def computed(value: str) -> object:
        aggregator = value_method(value).make(loss="loss", ends=ends, design=design)
        return aggregate(aggregator, stream(members, losses))

    square = rng.normal(size=(1024, 1024))

    def product() -> None:
        for _ in range(PRODUCTS):
            square @ square

    with threadpool_limits(1, user_api="blas"):
        candidates = {value: lambda value=value: computed(value) for value in VALUES}
        timed = in_turn({"product": product, **candidates}, turns=given.turns, warmup=0)
    rate = PRODUCTS * 2.0 * 1024**3 / timed["product"].median
    work = 4.0 * rows * n * n_test
    result = 3 * 8 * n * n_test
    table = []
    for value in VALUES:
        tracemalloc.start()
        computed(value)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        seconds = timed[value].median
        reached = work / seconds
        table.append([value, f"{seconds:.1f}", f"{reached / 1e9:.1f}", f"{reached / rate:.2f}", f"{peak / result:.2f}"])
    print(f"product rate on one thread: {rate / 1e9:.1f} GFLOP/s; result {result / 1e6:.0f} MB\n")
    print_table(["value", "seconds", "GFLOP/s", "of the product rate", "peak memory over the result"], table)


if __name__ == "__main__":
    main()
