"""Retrains trained one after the other: any model, by PyTorch's own optimizers."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from estimators.arrays import BoolArray, SeedArray
from estimators.seeding import derive_seed
from workers.learner import Losses
from workers.learners.torch_batches import BatchStream
from workers.learners.torch_data import as_inputs
from workers.learners.torch_dropout import counted, step_keys
from workers.learners.torch_losses import losses_of
from workers.learners.torch_module import seeded
from workers.learners.torch_optimizers import module_optimizer
from workers.learners.torch_resuming import module_checkpoints
from workers.learners.torch_setting import TrainingSetting, joined, to_numpy
from workers.learners.torch_stack import class_major


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
        module = self.setting.factory.build(seed).to(self.setting.data.device)
        with seeded(derive_seed("forward", seed), self.setting.data.device):
            self.train(module, self.setting.stream(members, seed))
        return module

    def evaluated(self, module: nn.Module) -> Losses:
        """Losses of one model; what its forward draws in evaluation is the same for all."""
        data = self.setting.data
        module.eval()
        with seeded(derive_seed("evaluation"), data.device):
            test = to_numpy(self._losses(module, data.test_features, data.test_labels), 1)
            if not self.setting.spec.train_losses:
                return Losses(test=test)
            return Losses(test=test, train=to_numpy(self._losses(module, data.train_features, data.train_labels), 1))

    def train(self, module: nn.Module, stream: BatchStream) -> None:
        """Train a module in place on the batches of a stream."""
        trained = [p for p in module.parameters() if p.requires_grad]
        if not trained:
            return
        data = self.setting.data
        optimizer = module_optimizer(self.setting.spec.optimizer, trained)
        dropouts = counted(module)
        keys = [step_keys(np.array([stream.seed], dtype=np.uint64), i, 0, stream.steps) for i in range(len(dropouts))]
        kept = module_checkpoints(module, optimizer, data.device, self.setting.checkpoints)
        first = 0 if kept is None else kept.restore()
        steps = zip(stream.batches(), self.setting.rates(stream).tolist(), strict=True)
        for step, (batch, rate) in islice(enumerate(steps), first, None):
            for layer, layer_keys in zip(dropouts, keys, strict=True):
                layer.dropout_key.fill_(int(layer_keys[step, 0]))
            rows = torch.from_numpy(batch).to(data.device)
            coefficients = torch.from_numpy(stream.coefficients(batch)).to(data.device)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            outputs = module(as_inputs(data.train_features[rows]))
            self._loss(outputs, data.train_labels[rows], coefficients).backward()  # type: ignore[no-untyped-call] # torch's
            optimizer.step()
            if kept is not None and step + 1 < stream.steps:
                kept.after(step + 1)

    def _loss(self, outputs: Tensor, labels: Tensor, coefficients: Tensor) -> Tensor:
        if self.setting.data.task == "classification":
            each = functional.cross_entropy(outputs, labels, reduction="none")
        else:
            each = functional.mse_loss(outputs.reshape(labels.shape), labels, reduction="none")
        return (each * coefficients).sum()

    @torch.no_grad()
    def _losses(self, module: nn.Module, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses [1, rows]."""
        setting = self.setting
        found: dict[str, list[Tensor]] = {name: [] for name in setting.kept}
        for start in range(0, len(labels), setting.evaluation_rows):
            part = slice(start, start + setting.evaluation_rows)
            outputs = module(as_inputs(features[part]))
            major = class_major(outputs.unsqueeze(0))[0]
            for name, values in losses_of(setting.kept, setting.data.task, major, labels[part], {}).items():
                found[name].append(values)
        return {name: torch.cat(values).unsqueeze(0) for name, values in found.items()}
