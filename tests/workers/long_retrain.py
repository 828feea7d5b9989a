"""A process that trains one chunk with checkpoints: FOLDER, and `slow` where every forward takes its time."""

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from learner_data import classification_data, subsets
from torch import nn

from estimators.subsets import instance_identities, pack, subset_keys
from workers.checkpointing import CheckpointPlace
from workers.chunk_file import decode
from workers.chunk_types import Fingerprints
from workers.chunk_work import ChunkFacts
from workers.learner_specs import OptimizerSpec, TorchSpec
from workers.learners.torch_learner import TorchLearner
from workers.outcomes import ChunkTask, Receipt
from workers.stores.folder import FolderStore
from workers.training import ChunkTrainer

STEPS = {"done": 0}
PRINTS = Fingerprints(train="a" * 32, test="b" * 32, learner="c" * 32, code="d" * 32)


class Slow(nn.Module):
    """A network that draws random numbers in training, so that it is looped, and counts its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            STEPS["done"] += 1
            if sys.argv[2] == "slow" and STEPS["done"] > 40:
                time.sleep(0.01)
            x = x + 0.1 * torch.randn(x.shape)
        outputs: torch.Tensor = self.layers(x)
        return outputs


def main() -> None:
    """Train, store, and print a hash of the losses and the number of steps."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    optimizer = OptimizerSpec(name="adam", lr=0.01)
    spec = TorchSpec(model="m.py:Slow", epochs=100, batch_size=8, optimizer=optimizer, losses=("cross_entropy",))
    learner = TorchLearner(spec, classification_data(n=60, n_test=20), Slow)
    members = subsets(1, 60)
    keys = subset_keys(members, instance_identities([bytes([i]) for i in range(60)]))
    task = ChunkTask("uniform-1", 0, pack(members), tuple(keys), np.zeros(1, np.uint64), np.zeros(1, np.int64), 1)
    place = CheckpointPlace(str(folder / "checkpoints"), 0.05)
    facts = ChunkFacts("uniform-1", PRINTS, 60, 20, learner.losses, learner.losses, checkpoints=place)
    store = FolderStore(folder)
    STEPS["done"] = 0
    receipt = ChunkTrainer(learner, store, facts).train(task)
    assert isinstance(receipt, Receipt), receipt
    rows = decode(store.get(receipt.name), name=receipt.name).rows
    digest = hashlib.sha256(rows.losses["cross_entropy"].tobytes() + rows.train_losses["cross_entropy"].tobytes())
    sys.stdout.write(json.dumps({"losses": digest.hexdigest(), "steps": STEPS["done"]}))


main()
