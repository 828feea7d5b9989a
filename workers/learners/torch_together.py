"""K retrains trained together, as one batched program."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from estimators.arrays import BoolArray, IntArray, SeedArray
from workers.learner import Losses
from workers.learners.torch_batched import BatchedModel
from workers.learners.torch_evaluation import GroupEvaluation
from workers.learners.torch_group import GroupTraining
from workers.learners.torch_optimizers import flat_optimizer
from workers.learners.torch_resuming import run_resumably
from workers.learners.torch_setting import TrainingSetting, joined, to_numpy
from workers.learners.torch_stack import fixed_tensors
from workers.learners.torch_state import GroupState


@dataclass(frozen=True, slots=True)
class TogetherTrainer:
    """Trains groups of exactly `together` models, or of one of the `smaller` numbers, that rows keep their bits in.

    A group of any other number is filled with copies of its last row, so that no other shape is met.
    """

    setting: TrainingSetting
    model: BatchedModel
    together: int
    smaller: tuple[int, ...] = ()

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of retrains on members [R, n] with seeds [R], in groups of K."""
        groups = self.groups(len(members))
        return joined([self.evaluated(self.trained(members[rows], seeds[rows]), own) for rows, own in groups])

    def groups(self, count: int) -> Iterator[tuple[IntArray, int]]:
        """Rows 0 .. count - 1 as groups: each one's rows, copies of the last included, and how many are its own."""
        for start in range(0, count, self.together):
            own = min(self.together, count - start)
            size = next((size for size in self.smaller if size >= own), self.together)
            yield np.minimum(np.arange(start, start + size), count - 1), own

    def evaluated(self, state: GroupState, count: int) -> Losses:
        """Losses of the first `count` of K models."""
        data = self.setting.data
        test = to_numpy(self.losses(state, data.test_features, data.test_labels), count)
        if not self.setting.spec.train_losses:
            return Losses(test=test)
        return Losses(test=test, train=to_numpy(self.losses(state, data.train_features, data.train_labels), count))

    def fresh(self, seeds: SeedArray) -> GroupState:
        """K untrained models."""
        return self._state([self.setting.factory.build(int(seed)) for seed in seeds])

    def fresh_copies(self, seeds: SeedArray) -> GroupState:
        """K copies of the first seed's untrained model, for what asks for times alone."""
        return self._state([self.setting.factory.build(int(seeds[0]))] * len(seeds))

    def _state(self, modules: list[nn.Module]) -> GroupState:
        device, layout = self.setting.data.device, self.model.layout
        flat = layout.buffer(len(modules), "cpu")
        for row, module in zip(flat, modules, strict=True):
            layout.fill(row, module)
        fixed = _stacked(modules, self.model.fixed_names, device)
        return GroupState.fresh(flat.to(device), fixed, flat_optimizer(self.setting.spec.optimizer).moments)

    def training(self, state: GroupState, members: BoolArray, seeds: SeedArray) -> GroupTraining:
        """The training that moves a state of K models, which goes on from the state's own step."""
        streams = [self.setting.stream(row, int(seed)) for row, seed in zip(members, seeds, strict=True)]
        return GroupTraining(setting=self.setting, model=self.model, state=state, streams=streams)

    def trained(self, members: BoolArray, seeds: SeedArray) -> GroupState:
        """The states of K models after training."""
        state = self.fresh(seeds)
        run_resumably(self.training(state, members, seeds), state, self.setting.checkpoints)
        return state

    def losses(self, state: GroupState, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses [K, rows] of K models."""
        return GroupEvaluation(self.setting, self.model, state).losses(features, labels)


def _stacked(modules: list[nn.Module], names: tuple[str, ...], device: str) -> tuple[Tensor, ...]:
    """What is not trained, each [K, ...]."""
    if not names:
        return ()
    states = [fixed_tensors(module) for module in modules]
    return tuple(torch.stack([state[name] for state in states]).to(device) for name in names)
