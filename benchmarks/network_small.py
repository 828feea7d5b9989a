"""How fast are many small networks trained, against a plain PyTorch loop at equal threads (one)?

64-32-10 on n = 1,000 with batches of 32, subsets of 500, 20 epochs; K by the pilot that a job runs.
"""

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
import torch
from harness.networks import Setting, Small, plain_retrain
from harness.table import machine, print_table
from harness.timing import in_turn, ratio

SETTING = Setting(Small, features=64, n=1000, m=500, batch=32, epochs=20)
TO_REACH = 22


def products(count: int) -> None:
    """The matrix products of one step of `count` models, and nothing else."""
    x, w, v = torch.randn(count, 32, 64), torch.randn(count, 32, 64), torch.randn(count, 10, 32)
    h, z = torch.randn(count, 32, 32), torch.randn(count, 10, 32)
    for _ in range(SETTING.steps()):
        torch.bmm(w, x.mT)
        torch.bmm(v, h)
        torch.bmm(z, h.mT)
        torch.bmm(v.mT, z)
        torch.bmm(h, x)


def main() -> None:
    """Time in turn and print."""
    torch.set_num_threads(1)
    data, alone = SETTING.data(), 4
    learner, choice = SETTING.piloted()
    count = learner.together
    members, seeds = SETTING.members(count), np.arange(count, dtype=np.uint64)
    mine = learner.retrain(members[:alone], seeds[:alone]).test["cross_entropy"]
    plain = np.array([plain_retrain(SETTING, data, members[k], k) for k in range(alone)])
    found = in_turn(
        {
            "plain": lambda: [plain_retrain(SETTING, data, members[k], k) for k in range(alone)],
            "ours": lambda: learner.retrain(members, seeds),
            "products": lambda: products(count),
        },
        turns=5,
        clock=time.process_time,
    )
    gain = ratio(found["plain"], found["ours"]) * count / alone
    share = 1 / ratio(found["ours"], found["products"])
    print(machine())
    print(f"pilot: {choice.sentence()}; K = {count}")
    print(f"largest difference of a loss from the plain loop's: {np.abs(mine - plain).max():.1e}")
    print_table(
        ("64-32-10, n = 1,000, m = 500, batches of 32, 20 epochs, one thread", "retrains/s", "gain", "to reach"),
        [
            ("plain PyTorch loop", f"{alone / found['plain'].median:.1f}", "1", ""),
            (f"ours, K = {count}", f"{count / found['ours'].median:.0f}", f"{gain:.1f}", f">= {TO_REACH}"),
            ("the matrix products alone", f"{count / found['products'].median:.0f}", f"ours is {share:.0%} of it", ""),
        ],
    )


if __name__ == "__main__":
    main()
