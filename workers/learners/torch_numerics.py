"""What fixes the last bits of a network's losses."""

import dataclasses
from typing import Final

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import BoolArray, SeedArray
from workers.learners.torch_together import TogetherTrainer
from workers.out_of_memory import is_out_of_memory

PROBE_STEPS = 2
SMALLER_GROUPS: Final = (2, 16, 128)
"""Numbers of models, below K, that a group of fewer retrains may be trained as, where they give the same bits."""


def numeric_class(device: str, precision: str, *, together: int, bits_depend: str) -> str:
    """Everything besides a retrain's subset and seed that may move a bit of its losses, in words."""
    parts = [f"torch {torch.__version__}", _device_class(device), precision, f"threads {torch.get_num_threads()}"]
    parts.append("looped" if together == 1 else "together")
    if bits_depend and together > 1:
        parts.append(f"bits by {bits_depend}, K = {together}")
    return ", ".join(parts)


def _device_class(device: str) -> str:
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
        return f"{name}, CUDA {torch.version.cuda}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def bits_depend_on(trainer: TogetherTrainer) -> str:
    """What else may move a bit of a retrain's losses, from a short try: "", "K", or "K and place".

    The same retrain runs at the first and at the last of K places among others, and at the last place of each smaller
    group. Linear layers, LayerNorm, embeddings and elementwise functions keep their bits; grouped convolutions depend
    on K. Where memory is too short for the try, the worst is said: a worker halves K when it comes to train.
    """
    try:
        return _seen_to_move_bits(trainer)
    except Exception as error:
        if is_out_of_memory(error):
            return "K and place"
        raise


def _seen_to_move_bits(trainer: TogetherTrainer) -> str:
    setting = dataclasses.replace(trainer.setting, spec=dataclasses.replace(trainer.setting.spec, epochs=1))
    n = setting.data.n
    count = min(n, PROBE_STEPS * setting.spec.batch_size - setting.spec.batch_size // 2)
    starts = np.arange(trainer.together)
    members = np.zeros((trainer.together, n), dtype=np.bool_)
    for row, start in zip(members, starts, strict=True):
        row[(np.arange(count) + start) % n] = True
    seeds = starts.astype(np.uint64)
    among = dataclasses.replace(trainer, setting=setting)
    first = _outcome(among, members, seeds, 0)
    if not _same(first, _outcome(among, members[::-1], seeds[::-1], -1)):
        return "K and place"
    for few in smaller_groups(trainer.together) or (3,):
        rows = np.arange(few)[::-1] % trainer.together
        if not _same(first, _outcome(among, members[rows], seeds[rows], -1)):
            return "K"
    return ""


def smaller_groups(together: int) -> tuple[int, ...]:
    """Those below K = `together`."""
    return tuple(size for size in SMALLER_GROUPS if size < together)


def _outcome(trainer: TogetherTrainer, members: BoolArray, seeds: SeedArray, row: int) -> list[Tensor]:
    """Parameters and first losses of one of the models after training."""
    data = trainer.setting.data
    state = trainer.trained(members, seeds)
    part = slice(0, trainer.setting.evaluation_rows)
    losses = trainer.losses(state, data.test_features[part], data.test_labels[part])
    return [state.flat[row], *(values[row] for values in losses.values())]


def _same(one: list[Tensor], other: list[Tensor]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(bool(((a == b) | (a.isnan() & b.isnan())).all()) for a, b in pairs)
