"""Networks whose parameters are kept: models as arrays by the names of their state dict, and losses of these."""

import numpy as np
import torch
from torch import nn

from estimators.arrays import BoolArray, IntArray, SeedArray
from workers.keeping import Models, joined_models, part_of
from workers.learner import Losses
from workers.learners.torch_looped import LoopedTrainer
from workers.learners.torch_setting import joined
from workers.learners.torch_state import GroupState
from workers.learners.torch_together import TogetherTrainer


def trained_models(trainer: LoopedTrainer | TogetherTrainer, members: BoolArray, seeds: SeedArray) -> Models:
    """Models of retrains on members [R, n] with seeds [R]."""
    if isinstance(trainer, LoopedTrainer):
        modules = [trainer.trained(row, int(seed)) for row, seed in zip(members, seeds, strict=True)]
        return joined_models([_of_module(module) for module in modules])
    parts = []
    for rows, own in trainer.groups(len(members)):
        parts.append(_of_state(trainer, trainer.trained(members[rows], seeds[rows]), own))
    return joined_models(parts)


def losses_of_models(trainer: LoopedTrainer | TogetherTrainer, models: Models) -> Losses:
    """Losses of kept models; raises LearnerError where they are not this network's."""
    count = len(next(iter(models.values()), ()))
    if isinstance(trainer, LoopedTrainer):
        return joined([_alone(trainer, models, row) for row in range(count)])
    return joined([_together(trainer, models, rows, own) for rows, own in trainer.groups(count)])


def _of_module(module: nn.Module) -> Models:
    return {name: tensor.detach().cpu().numpy()[None] for name, tensor in module.state_dict().items()}


def _of_state(trainer: TogetherTrainer, state: GroupState, count: int) -> Models:
    layout = trainer.model.layout
    pieces = {piece.name: piece.view(state.flat) for piece in layout.pieces}
    pieces |= dict(zip(trainer.model.fixed_names, state.fixed, strict=True))
    return {name: tensor[:count].detach().cpu().numpy().copy() for name, tensor in pieces.items()}


def _alone(trainer: LoopedTrainer, models: Models, row: int) -> Losses:
    module = trainer.fresh(0)
    state = {
        name: torch.from_numpy(part_of(models, name, (None, *tensor.shape))[row].copy())
        for name, tensor in module.state_dict().items()
    }
    module.load_state_dict(state)
    return trainer.evaluated(module)


def _together(trainer: TogetherTrainer, models: Models, rows: IntArray, own: int) -> Losses:
    state = trainer.fresh_copies(np.zeros(len(rows), dtype=np.uint64))
    with torch.no_grad():
        for piece in trainer.model.layout.pieces:
            kept = part_of(models, piece.name, (None, *piece.shape))[rows]
            piece.view(state.flat).copy_(torch.from_numpy(kept))
        for name, tensor in zip(trainer.model.fixed_names, state.fixed, strict=True):
            tensor.copy_(torch.from_numpy(part_of(models, name, (None, *tensor.shape[1:]))[rows]))
    return trainer.evaluated(state, own)
