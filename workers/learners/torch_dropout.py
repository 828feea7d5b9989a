"""Dropout whose masks come from (retrain's seed, step, layer, element) alone, through a hash of 32-bit integers.

No generator has a state to be kept, a model's mask does not depend on its neighbours, and CPU and GPU draw the same.
The hash is the finaliser of MurmurHash3 (Appleby 2011) with two rounds, applied to a counter (Salmon et al. 2011).
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from estimators.arrays import AnyArray
from estimators.seeding import derive_seed

FIRST: Final = 0x7FEB352D
SECOND: Final = 0x846CA68B - 2**32
STEP: Final = 0x9E3779B97F4A7C15
KEY_NAME: Final = "dropout_key"


class CountedDropout(nn.Dropout):
    """nn.Dropout with masks by counting; `dropout_key` [] int32 is set before each step."""

    dropout_key: Tensor
    number: int
    part: tuple[int, int] = (0, 1)
    """Where in the whole batch the inputs begin, and of how many rows they are; (0, 1) is the whole."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs, of which a share p is 0 and the rest is scaled, in training."""
        if not self.training or self.p == 0.0:
            return inputs
        first, rows = self.part
        begin = inputs.numel() // rows * first
        places = torch.arange(begin, begin + inputs.numel(), dtype=torch.int32, device=inputs.device)
        places = places.view(inputs.shape)
        return inputs * keep_mask(places, self.dropout_key, self.p).to(inputs.dtype) / (1.0 - self.p)


def count_dropout(module: nn.Module) -> None:
    """Make every nn.Dropout of the module, and no class derived from it, draw by counting."""
    number = 0
    for part in module.modules():
        if type(part) is nn.Dropout:
            part.__class__ = CountedDropout
            part.register_buffer(KEY_NAME, torch.zeros((), dtype=torch.int32), persistent=False)
            part.number = number  # type: ignore[assignment] # a plain number beside the module's own
            number += 1


def counted(module: nn.Module) -> list[CountedDropout]:
    """The module's dropout layers, in the order of their numbers."""
    return [part for part in module.modules() if isinstance(part, CountedDropout)]


def keep_mask(places: Tensor, key: Tensor, p: float) -> Tensor:
    """Whether an element is kept, with probability 1 - p, from int32 places and a key that broadcasts to them."""
    bits = _mixed(_mixed(places ^ key) ^ key)
    return bits >= round(p * 2**32) - 2**31


def _mixed(bits: Tensor) -> Tensor:
    # shifts of int32 carry the sign along: the mask makes them logical
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * FIRST
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * SECOND
    return bits ^ ((bits >> 16) & 0xFFFF)


def step_keys(seeds: AnyArray, layer: int, start: int, count: int) -> AnyArray:
    """Keys [count, K] int32 of steps `start` to start + count for retrains with seeds [K] uint64."""
    bases = np.array([derive_seed("dropout", int(seed), layer) for seed in seeds], dtype=np.uint64)
    steps = np.arange(start, start + count, dtype=np.uint64)[:, None]
    with np.errstate(over="ignore"):
        words = bases[None] + steps * np.uint64(STEP)
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    keys: AnyArray = (words >> np.uint64(32)).astype(np.uint32).view(np.int32)
    return keys
