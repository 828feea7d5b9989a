"""Retrains trained one after the other: any model, by PyTorch's own optimizers."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from estimators.arrays import BoolArray, Float32Array, IntArray, SeedArray
from estimators.seeding import derive_seed
from workers.learner import Losses
from workers.learners.torch_batches import BatchStream
from workers.learners.torch_data import gather
from workers.learners.torch_dropout import counted, step_keys
from workers.learners.torch_functions import augmented
from workers.learners.torch_losses import losses_of, widened
from workers.learners.torch_module import seeded, with_channels_last
from workers.learners.torch_optimizers import module_optimizer
from workers.learners.torch_precision import computing
from workers.learners.torch_replicas import Replicas
from workers.learners.torch_resuming import module_checkpoints
from workers.learners.torch_setting import TrainingSetting, joined, to_numpy
from workers.learners.torch_stack import class_major
from workers.learners.torch_stopping import verdict


@dataclass(frozen=True, slots=True)
class LoopedTrainer:
    """Trains one model at a time; random numbers drawn in `forward` come from the retrain's seed."""

    setting: TrainingSetting

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of retrains on members [R, n] with seeds [R]."""
        return joined([self._one(row, int(seed)) for row, seed in zip(members, seeds, strict=True)])

    def _one(self, members: BoolArray, seed: int) -> Losses:
        return self.evaluated(self.trained(members, seed))

    def trained(self, members: BoolArray, seed: int) -> nn.Module:
        """The model of a retrain on members [n]."""
        module = self.fresh(seed)
        with seeded(derive_seed("forward", seed), *self.setting.devices):
            self.train(module, self.setting.stream(members, seed))
        return module

    def fresh(self, seed: int) -> nn.Module:
        """The untrained model of a seed."""
        module = self.setting.factory.build(seed).to(self.setting.data.device)
        return with_channels_last(module) if self.setting.channels_last else module

    def evaluated(self, module: nn.Module) -> Losses:
        """Losses of one model; what its forward draws in evaluation is the same for all."""
        setting, data = self.setting, self.setting.data
        module.eval()
        with seeded(derive_seed("evaluation"), data.device), computing(setting.spec.precision, data.device):
            test = to_numpy(module_losses(setting, module, data.test_features, data.test_labels), 1)
            if not setting.spec.train_losses:
                return Losses(test=test)
            train = module_losses(setting, module, data.train_features, data.train_labels)
            return Losses(test=test, train=to_numpy(train, 1))

    def train(self, module: nn.Module, stream: BatchStream) -> None:
        """Train a module in place on the batches of a stream."""
        with computing(self.setting.spec.precision, self.setting.data.device):
            LoopedTraining(self.setting, module, stream).run()


@dataclass(slots=True)
class LoopedState:
    """Where one retrain stands. step: steps done. best, waited, kept: early stopping's (see `GroupState`)."""

    step: int = 0
    best: float = np.inf
    waited: int = 0
    done: bool = False
    kept: dict[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name."""
        counts = {"step": self.step, "best": self.best, "waited": self.waited, "done": self.done}
        named = {name: torch.tensor(value, dtype=torch.float64) for name, value in counts.items()}
        return named | {f"kept.{name}": tensor for name, tensor in self.kept.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state that `tensors` gave; nothing is the state before the first step."""
        if tensors:
            self.step, self.waited = int(tensors["step"]), int(tensors["waited"])
            self.best, self.done = float(tensors["best"]), bool(tensors["done"])
            names = [name for name in tensors if name.startswith("kept.")]
            self.kept = {name.removeprefix("kept."): tensors[name] for name in names}


class LoopedTraining:
    """Moves one module. Its state: the module, the optimizer's `state_dict` and a `LoopedState`.

    watch: told of each step before it is taken: its number, the rows of its batch, its rate.
    """

    def __init__(self, setting: TrainingSetting, module: nn.Module, stream: BatchStream) -> None:
        self.module = module
        self.state = LoopedState()
        self.watch: Callable[[int, IntArray, float], None] | None = None
        self._setting = setting
        self._stream = stream
        self._trained = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = module_optimizer(setting.spec.optimizer, self._trained) if self._trained else None
        self._replicas = Replicas(module, setting.devices)
        self._dropouts = counted(module)
        seeds = np.array([stream.seed], dtype=np.uint64)
        self._keys = [step_keys(seeds, layer, 0, stream.steps) for layer in range(len(self._dropouts))]

    def run(self) -> None:
        """Train in place to the end, from the newest checkpoint where there is one."""
        state, stream = self.state, self._stream
        last = stream.steps
        if self.optimizer is None:
            return
        kept = module_checkpoints(self.module, self.optimizer, self._setting.devices, self._setting.checkpoints)
        if kept is not None:
            state.restore(kept.restore())
        if state.step >= last:
            return
        rates = self._setting.rates(stream).tolist()
        first_epoch, skipped = divmod(state.step, stream.steps_per_epoch)
        for place, batch in enumerate(stream.batches(first_epoch), start=first_epoch * stream.steps_per_epoch):
            if place < first_epoch * stream.steps_per_epoch + skipped:
                continue
            self._step(torch.from_numpy(batch), stream.coefficients(batch), rates[place])
            state.step += 1
            if state.step % stream.steps_per_epoch == 0:
                self._judge()
            if state.done or state.step >= last:
                break
            if kept is not None:
                kept.after(state.step, state.tensors)
        if state.kept:
            self.module.load_state_dict(state.kept)

    def _step(self, batch: Tensor, coefficients: Float32Array, rate: float) -> None:
        data, spec, optimizer = self._setting.data, self._setting.spec, self.optimizer
        assert optimizer is not None, "run returns before this"
        if self.watch is not None:
            self.watch(self.state.step, batch.numpy(), rate)
        for layer, keys in zip(self._dropouts, self._keys, strict=True):
            layer.dropout_key.fill_(int(keys[self.state.step, 0]))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        rows = batch.to(data.device)
        inputs, _ = gather(data.train_features, rows, None)
        if self._setting.functions.augment is not None:
            inputs = augmented(self._setting.functions.augment, inputs, self._stream.seed, self.state.step)
        weights = torch.from_numpy(coefficients).to(data.device)
        self._replicas.gradients(self._setting.objective, inputs, data.train_labels[rows], weights)
        if spec.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._trained, spec.clip_norm)
        optimizer.step()

    def _judge(self) -> None:
        """After an epoch: keep the best state, and stop where the job's rule says so."""
        setting, state, rule = self._setting, self.state, self._setting.spec.early_stopping
        features, labels = setting.data.validation_features, setting.data.validation_labels
        if rule is None or features is None or labels is None:
            return
        self.module.eval()
        name = setting.objective.name
        loss = module_losses(setting, self.module, features, labels, (name,))[name].double().mean().item()
        self.module.train()
        found = verdict(loss, state.best, state.waited, patience=rule.patience, least=rule.least)
        state.best, state.waited = found.best, found.waited
        state.done = found.stop and math.isfinite(found.best)
        if found.improved:
            state.kept = copy.deepcopy(self.module.state_dict())


@torch.no_grad()
def module_losses(
    setting: TrainingSetting, module: nn.Module, features: Tensor, labels: Tensor, names: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Losses [1, rows] of one model in evaluation mode. names: unsaid, those that the job keeps."""
    names = names or setting.kept
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    buffer: Tensor | None = None
    for start in range(0, len(labels), setting.evaluation_rows):
        part = slice(start, start + setting.evaluation_rows)
        # copied: products choose their instructions by where their operands begin, and data may begin anywhere
        rows = torch.arange(start, min(part.stop, len(labels)), device=labels.device)
        inputs, buffer = gather(features, rows, buffer)
        outputs = widened(class_major(module(inputs).unsqueeze(0))[0])
        for name, values in losses_of(names, setting.data.task, outputs, labels[part], setting.users).items():
            found[name].append(values)
    return {name: torch.cat(values).unsqueeze(0) for name, values in found.items()}
