"""Learning rates over the steps of one retrain."""

import math

import numpy as np

from estimators.arrays import FloatArray
from workers.learner_specs import ScheduleSpec


def schedule_factors(schedule: ScheduleSpec, *, steps: int, steps_per_epoch: int) -> FloatArray:
    """Factors `[steps]` on the optimizer's learning rate, step t from 0.

    With w = ceil(warmup * steps): (t + 1) / (w + 1) for t < w, so that no step is lost at rate 0. Then with
    u = (t - w) / (steps - w): linear 1 - u, cosine (1 + cos(pi u)) / 2 (Loshchilov and Hutter 2017, equation 5, one
    period), constant 1. step: gamma ** floor(epoch / every), times the warmup's factor. Without warmup these are
    PyTorch's LinearLR (to 0), CosineAnnealingLR (to 0) and StepLR.
    """
    if steps == 0:
        return np.ones(0)
    t = np.arange(steps, dtype=np.float64)
    warm = math.ceil(schedule.warmup * steps)
    rising = np.minimum((t + 1) / (warm + 1), 1.0)
    progress = np.maximum(t - warm, 0.0) / max(steps - warm, 1)
    if schedule.name == "linear":
        falling = 1.0 - progress
    elif schedule.name == "cosine":
        falling = 0.5 * (1.0 + np.cos(np.pi * progress))
    elif schedule.name == "step":
        falling = schedule.gamma ** np.floor(np.floor(t / steps_per_epoch) / schedule.every)
    else:
        falling = np.ones(steps)
    factors: FloatArray = rising * falling
    return factors
