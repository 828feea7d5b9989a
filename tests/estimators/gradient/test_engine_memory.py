"""Memory of the engine: under twice the result plus one block, whatever n; in a process of its own."""

import subprocess
import sys

import pytest

SCRIPT = """
import re, torch
from torch import nn
from estimators.gradient.engine import Engine
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.record import Estimator
from estimators.gradient.source import gradient_source
torch.set_num_threads(1)
n, tests = {n}, 500
module = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10))
x, y = torch.randn(n + tests, 20), torch.randint(10, (n + tests,))
train, test = Instances(x[:n], y[:n]), Instances(x[n:], y[n:])
source = gradient_source(Objective(module, CrossEntropy()), train, block_rows=1024)
engine = Engine(Estimator(name="x", weights="rate"), source, train, test)
engine.block(next(iter(engine.names())))
peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])
before = peak()
values = engine.values()
print(peak() - before)
"""


def grown(n: int) -> float:
    """MB that the peak grows by beyond one block."""
    words = [sys.executable, "-c", SCRIPT.replace("{n}", str(n))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return int(done.stdout) / 1024


@pytest.mark.parametrize("n", [20_000, 60_000])
def test_memory_is_the_result_and_less_than_as_much_again(n: int) -> None:
    result = n * 500 * 8 / 2**20
    assert 0.8 * result < grown(n) < 2 * result
