"""What a pilot of K times: training steps of K models side by side, or of one model alone."""

import dataclasses
import time

import numpy as np
import torch

from workers.learners.torch_looped import LoopedTrainer
from workers.learners.torch_setting import TrainingSetting
from workers.learners.torch_together import TogetherTrainer


def pilot_sizes(device: str, most: int) -> tuple[int, ...]:
    """1, then powers of four up to `most` (of 16 on a GPU, which small groups leave idle)."""
    sizes, size = [1], 4 if device == "cpu" else 16
    while size <= most:
        sizes.append(size)
        size *= 4
    return tuple(sizes)


def step_seconds(trainer: LoopedTrainer | TogetherTrainer, steps: int) -> float:
    """Seconds of one model's training step, over `steps` steps after a first one that is not counted."""
    setting = _shortened(trainer.setting, steps)
    trainer = dataclasses.replace(trainer, setting=setting)
    members = np.zeros(setting.data.n, dtype=np.bool_)
    members[: min(setting.data.n, steps * setting.spec.batch_size)] = True
    count = trainer.together if isinstance(trainer, TogetherTrainer) else 1
    seeds = np.zeros(count, dtype=np.uint64)
    if isinstance(trainer, LoopedTrainer):
        module = trainer.fresh(0)
        began = _now(setting.data.device)
        trainer.train(module, setting.stream(members, 0))
    else:
        state = trainer.fresh_copies(seeds)
        training = trainer.training(state, np.repeat(members[None], count, axis=0), seeds)
        began = _now(setting.data.device)
        training.run()
    return (_now(setting.data.device) - began) / (count * max(1, setting.stream(members, 0).steps))


def _shortened(setting: TrainingSetting, steps: int) -> TrainingSetting:
    per_epoch = -(-min(setting.data.n, steps * setting.spec.batch_size) // setting.spec.batch_size)
    return dataclasses.replace(setting, spec=dataclasses.replace(setting.spec, epochs=-(-steps // per_epoch)))


def _now(device: str) -> float:
    """A clock in seconds: on one thread the processor's, which stands still while others have the core."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()
