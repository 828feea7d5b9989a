"""What both ways of training, together and looped, are given."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import BoolArray, Float32Array, FloatArray
from workers.checkpointing import GroupCheckpoints
from workers.learner import Losses
from workers.learner_specs import TorchSpec
from workers.learners.torch_batches import BatchStream
from workers.learners.torch_data import TorchData
from workers.learners.torch_functions import UserFunctions
from workers.learners.torch_losses import UserLoss
from workers.learners.torch_module import ModuleFactory
from workers.learners.torch_objective import Objective
from workers.learners.torch_schedules import schedule_factors


@dataclass(frozen=True, slots=True)
class TrainingSetting:
    """A job's torch learner on its data.

    kept: the losses returned. functions: the user's. skip_single: see `BatchStream`.
    channels_last: how models that are looped are stored. checkpoints: of the one group that trains with this setting,
    where states are kept in the middle. devices: of one looped retrain, the first that of the data.
    """

    spec: TorchSpec
    data: TorchData
    factory: ModuleFactory
    kept: tuple[str, ...]
    evaluation_rows: int
    objective: Objective
    functions: UserFunctions = field(default_factory=UserFunctions)
    skip_single: bool = False
    channels_last: bool = False
    checkpoints: GroupCheckpoints | None = None
    devices: tuple[str, ...] = ("cpu",)

    @property
    def users(self) -> dict[str, UserLoss]:
        """Losses of the user's by name: those kept, and the one that trains."""
        loss = self.functions.loss
        return {**self.functions.kept, **({} if loss is None else {self.objective.name: loss})}

    def stream(self, members: BoolArray, seed: int) -> BatchStream:
        """The batches of a retrain."""
        return BatchStream(
            members=self.data.members(members),
            seed=seed,
            batch_size=self.spec.batch_size,
            epochs=self.spec.epochs,
            weights=self.data.weights,
            skip_single=self.skip_single,
        )

    @property
    def constant_rate(self) -> float | None:
        """The learning rate where it never changes, else None."""
        schedule = self.spec.schedule
        return self.spec.optimizer.lr if schedule.name == "constant" and not schedule.warmup else None

    def rates(self, stream: BatchStream) -> FloatArray:
        """Learning rates [steps] of a retrain."""
        factors = schedule_factors(
            self.spec.schedule, steps=stream.steps, steps_per_epoch=max(1, stream.steps_per_epoch)
        )
        return self.spec.optimizer.lr * factors


def to_numpy(tensors: dict[str, Tensor], count: int) -> dict[str, Float32Array]:
    """Losses of the first `count` models as float32 arrays."""
    return {name: tensor[:count].to(torch.float32).cpu().numpy() for name, tensor in tensors.items()}


def joined(parts: list[Losses]) -> Losses:
    """Losses of several groups of retrains, one after the other."""
    test = {name: np.concatenate([part.test[name] for part in parts]) for name in parts[0].test}
    trains = [part.train for part in parts if part.train is not None]
    if not trains:
        return Losses(test=test)
    return Losses(test=test, train={name: np.concatenate([train[name] for train in trains]) for name in trains[0]})
