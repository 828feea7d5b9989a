"""What fixes the last bits of a network's losses."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from workers.learners.torch_stack import Stack
from workers.learners.torch_together import TogetherTrainer

PROBE_STEPS = 2


def numeric_class(device: str, precision: str, *, together: int, bits_depend: bool) -> str:
    """Everything besides a retrain's subset and seed that may move a bit of its losses, in words."""
    parts = [f"torch {torch.__version__}", _device_class(device), precision, f"threads {torch.get_num_threads()}"]
    parts.append("looped" if together == 1 else "together")
    if bits_depend:
        parts.append(f"K {together}")
    return ", ".join(parts)


def _device_class(device: str) -> str:
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
        return f"{name}, CUDA {torch.version.cuda}, matmul {torch.get_float32_matmul_precision()}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def bits_depend_on_together(trainer: TogetherTrainer) -> bool:
    """Whether a short retrain alone (K = 1) and at the last of K places among others differ in any bit.

    Linear layers, LayerNorm, embeddings and elementwise functions keep their bits; grouped convolutions need not.
    """
    setting = dataclasses.replace(trainer.setting, spec=dataclasses.replace(trainer.setting.spec, epochs=1))
    n = setting.data.n
    count = min(n, PROBE_STEPS * setting.spec.batch_size - setting.spec.batch_size // 2)
    members = np.zeros((trainer.together, n), dtype=np.bool_)
    for k, row in enumerate(members):
        row[(np.arange(count) + (trainer.together - 1 - k)) % n] = True
    seeds = np.arange(trainer.together, dtype=np.uint64)
    alone = dataclasses.replace(trainer, setting=setting, together=1)
    among = dataclasses.replace(trainer, setting=setting)
    one, many = alone.trained(members[-1:], seeds[-1:]), among.trained(members, seeds)
    if not torch.equal(one.flat[-1], many.flat[-1]):
        return True
    rows = slice(0, setting.evaluation_rows)
    return not torch.equal(_first_losses(alone, one, rows), _first_losses(among, many, rows))


def _first_losses(trainer: TogetherTrainer, state: Stack, rows: slice) -> Tensor:
    data = trainer.setting.data
    losses = trainer.losses(state, data.test_features[rows], data.test_labels[rows])
    return torch.stack([values[-1] for values in losses.values()])
