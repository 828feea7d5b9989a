"""A worker's setup whose rows do what their keys say: train, raise, die, hang; files in a folder are its store."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from workers.outcomes import Failure, Receipt

TRAINS, RAISES, ABORTS, HANGS, NAN, SLOW = range(6)


def key(what, number):
    return bytes([what]) + number.to_bytes(15, "big")


@dataclass(frozen=True)
class StubSetup:
    folder: str
    seconds: float = 0.0

    def make_trainer(self, worker):
        Path(self.folder, f"{worker}.pid").write_text(str(os.getpid()))
        return StubTrainer(self, worker)


class StubTrainer:
    def __init__(self, setup, worker):
        self.setup, self.worker = setup, worker

    def train(self, task):
        for row, each in enumerate(task.keys):
            time.sleep(5.0 if each[0] == SLOW else self.setup.seconds)
            if each[0] == RAISES:
                raise ValueError("this subset cannot be trained")
            if each[0] == ABORTS:
                os.abort()
            if each[0] == HANGS:
                time.sleep(1e6)
            if each[0] == NAN:
                return Failure(task.chunk, "non_finite", "NaN", self.worker, guilty=(row,))
        for each in task.keys:
            Path(self.setup.folder, each.hex()).touch()
        return Receipt(task.chunk, "name", "", task.rows, 1, 0.1, self.worker, str(os.getpid()))
