"""By how much does the peak of memory grow over the result, whatever n? Each n in a process of its own.

python benchmarks/harness/gradient_memory.py TracInCP 40000
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from estimators.gradient.engine import Engine
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.record import CurvatureOptions, Estimator
from estimators.gradient.source import gradient_source

SIZES, TESTS = (20_000, 80_000), 500
MIB = 2**20
METHODS = {
    "TracInCP": Estimator(name="tracin_cp", weights="rate"),
    "EK-FAC": Estimator(name="influence", curvature="ekfac", options=CurvatureOptions(damping=0.1)),
}


def peak() -> int:
    """Bytes that the process has held at most."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(found[1]) * 1024 if found else 0


def grown(method: str, n: int) -> int:
    """Bytes that the peak grows by once one block has been computed."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10))
    x, y = torch.randn(n + TESTS, 20), torch.randint(10, (n + TESTS,))
    train, test = Instances(x[:n], y[:n]), Instances(x[n:], y[n:])
    source = gradient_source(Objective(module, CrossEntropy(), deletion="sum"), train, block_rows=1024)
    engine = Engine(METHODS[method], source, train, test)
    engine.block(next(iter(engine.names())))
    before = peak()
    engine.values()
    return peak() - before


def memory_question() -> Iterator[tuple[object, ...]]:
    """Rows: method and n, the growth in MiB, as a multiple of the result."""
    for method in METHODS:
        for n in SIZES:
            words = [sys.executable, __file__, method, str(n)]
            found = int(subprocess.run(words, capture_output=True, text=True, check=True, timeout=200).stdout)
            result = n * TESTS * 8
            told = f"{found / result:.2f} of the result ({result / MIB:.0f} MiB) beside one block"
            yield f"memory, {method}, {n:,} x {TESTS} (< 2)", "ours", f"{found / MIB:.0f} MiB", "", told


if __name__ == "__main__":
    print(grown(sys.argv[1], int(sys.argv[2])))
