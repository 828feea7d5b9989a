"""How fast are networks trained on a GPU, against a plain loop on the same GPU? Prints `not measured` without one.

The network and the CNN of the CPU's benchmarks, and ResNet-9 with GroupNorm on 32 x 32 images; K by the pilot.
The plain loop trains one model at a time with its data on the device, as fast single-model training does.
"""

import dataclasses
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from harness.networks import Setting, SmallCnn, Wide, plain_retrain
from harness.table import machine, print_table
from harness.timing import in_turn, ratio
from torch import nn

from workers.together_pilot import pilot


def _block(inputs: int, outputs: int, *, pool: bool) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class ResNet9(nn.Module):
    """He et al. 2016 in nine layers, with GroupNorm: BatchNorm's statistics would mix the rows of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(_block(3, 64, pool=False), _block(64, 128, pool=True))
        self.first = nn.Sequential(_block(128, 128, pool=False), _block(128, 128, pool=False))
        self.middle = nn.Sequential(_block(128, 256, pool=True), _block(256, 512, pool=True))
        self.second = nn.Sequential(_block(512, 512, pool=False), _block(512, 512, pool=False))
        self.last = nn.Linear(512, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.head(x.view(-1, 3, 32, 32))
        x = self.middle(x + self.first(x))
        x = x + self.second(x)
        return self.last(x.amax((2, 3)))


ROWS = (
    ("784-64-10", Setting(Wide, 784, 4000, 2800, 128, 3), 4, ">= 30x"),
    ("CNN of 8 and 16 channels", Setting(SmallCnn, 784, 4000, 2800, 128, 2), 4, ">= 10x"),
    ("ResNet-9, 32 x 32", Setting(ResNet9, 3072, 2000, 1400, 128, 1), 1, ">= 1.5x"),
)
PRECISIONS = ("float32", "tf32", "bfloat16")


def measured(setting: Setting, alone: int, precision: str) -> tuple[str, str, str, str]:
    """Retrains a second of the plain loop and of ours, the gain, and K."""
    learner = setting.learner(device="cuda", precision=precision)
    choice = pilot(learner, most=4096, seconds=10.0)
    learner = learner.with_together(choice.together) if choice is not None else learner
    count = max(learner.together, alone)
    data, members, seeds = setting.data(), setting.members(count), np.arange(count, dtype=np.uint64)

    def ours() -> None:
        learner.retrain(members, seeds)
        torch.cuda.synchronize()

    def plain() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            for k in range(alone):
                plain_retrain(setting, data, members[k], k, "cuda")
        torch.cuda.synchronize()

    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    found = in_turn({"plain": plain, "ours": ours}, turns=3)
    gain = ratio(found["plain"], found["ours"]) * count / alone
    rates = (f"{alone / found['plain'].median:.2f}", f"{count / found['ours'].median:.1f}")
    return (*rates, f"{gain:.1f}", str(learner.together))


def main() -> None:
    """Measure where there is a device, and print."""
    print(machine())
    there = torch.cuda.is_available()
    print(f"device: {torch.cuda.get_device_name() if there else 'none here'}")
    rows = []
    for name, setting, alone, wanted in ROWS:
        for precision in PRECISIONS:
            found = measured(dataclasses.replace(setting), alone, precision) if there else ("not measured",) * 4
            rows.append((name, precision, *found, wanted))
    print_table(("network", "precision", "plain, retrains/s", "ours, retrains/s", "gain", "K", "to reach"), rows)


if __name__ == "__main__":
    main()
