"""What does a small CNN's looped retrain cost, on two cores, and does the pilot choose the loop?

Convolutions of 8 and 16 channels on 28 x 28 images, n = 4,000, subsets of 2,800, batches of 128, one epoch. Training
such networks together is slower on a CPU: im2col and grouped convolutions move more memory than they compute.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from harness.networks import Setting, SmallCnn, plain_retrain
from harness.processes import Pair
from harness.table import machine, print_table
from harness.timing import ratio

SETTING = Setting(SmallCnn, features=784, n=4000, m=2800, batch=128, epochs=1)
RETRAINS = 2


def works(together: int) -> dict[str, Callable[[], object]]:
    """What each of the two processes can be asked for."""
    data, learner = SETTING.data(), SETTING.learner(together)
    members, seeds = SETTING.members(RETRAINS), np.arange(RETRAINS, dtype=np.uint64)
    return {
        "plain": lambda: [plain_retrain(SETTING, data, members[k], k) for k in range(RETRAINS)],
        "ours": lambda: learner.retrain(members, seeds),
    }


def main() -> None:
    """Time in turn and print."""
    torch.set_num_threads(1)
    learner, choice = SETTING.piloted()
    with Pair(partial(works, learner.together)) as pair:
        found = pair.in_turn(pair.names, turns=5)
    gain = ratio(found["plain"], found["ours"])
    rates = {name: f"{2 * RETRAINS / timed.median:.2f}" for name, timed in found.items()}
    print(machine())
    print(f"pilot: {choice.sentence()}; K = {choice.together}")
    print_table(
        ("CNN of 8 and 16 channels, n = 4,000, m = 2,800, batches of 128, two cores", "retrains/s", "gain", "to reach"),
        [
            ("two sequential PyTorch processes", rates["plain"], "1", ""),
            (f"ours, {'looped' if choice.together == 1 else 'together'}", rates["ours"], f"{gain:.2f}", ">= 0.97"),
        ],
    )


if __name__ == "__main__":
    main()
