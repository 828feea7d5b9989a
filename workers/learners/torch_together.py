"""K retrains trained together, as one batched program."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import BoolArray, SeedArray
from workers.learner import Losses
from workers.learners.torch_alignment import aligned_products
from workers.learners.torch_batches import BatchStream, batch_blocks, batch_width
from workers.learners.torch_data import as_inputs, gather
from workers.learners.torch_losses import losses_of, training_gradient
from workers.learners.torch_optimizers import flat_optimizer
from workers.learners.torch_setting import TrainingSetting, joined, to_numpy
from workers.learners.torch_stack import Stack, StackedModel


@dataclass(frozen=True, slots=True)
class TogetherTrainer:
    """Trains groups of exactly `together` models; a smaller group is filled with copies, so that no shape changes."""

    setting: TrainingSetting
    model: StackedModel
    together: int

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of retrains on members [R, n] with seeds [R], in groups of K."""
        starts = range(0, len(members), self.together)
        groups = [np.arange(start, min(start + self.together, len(members))) for start in starts]
        return joined([self._group(members[group], seeds[group]) for group in groups])

    def _group(self, members: BoolArray, seeds: SeedArray) -> Losses:
        count = len(members)
        rows = np.minimum(np.arange(self.together), count - 1)
        states = self.trained(members[rows], seeds[rows])
        data = self.setting.data
        test = to_numpy(self.losses(states, data.test_features, data.test_labels), count)
        if not self.setting.spec.train_losses:
            return Losses(test=test)
        return Losses(test=test, train=to_numpy(self.losses(states, data.train_features, data.train_labels), count))

    def trained(self, members: BoolArray, seeds: SeedArray) -> Stack:
        """The states of K models after training."""
        setting = self.setting
        initial = [setting.factory.build(int(seed)) for seed in seeds]
        state = self.model.stack(initial, setting.data.device)
        streams = [setting.stream(row, int(seed)) for row, seed in zip(members, seeds, strict=True)]
        _Training(setting=setting, model=self.model, state=state, streams=streams).run()
        return state

    @torch.no_grad()
    def losses(self, state: Stack, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses [K, rows] of K models, over blocks of a fixed number of rows."""
        setting = self.setting
        views = self.model.layout.views(state.flat)
        size = setting.evaluation_rows
        found: dict[str, list[Tensor]] = {name: [] for name in setting.kept}
        for start in range(0, len(labels), size):
            stop = min(start + size, len(labels))
            # The last block is filled with its last row, so that all blocks have one shape.
            rows = torch.arange(start, start + size, device=labels.device).clamp_(max=stop - 1)
            inputs = as_inputs(features[rows]).unsqueeze(0).expand(self.together, -1, *features.shape[1:])
            outputs = self.model.forward(views, state.fixed, inputs, training=False)
            block = losses_of(setting.kept, setting.data.task, outputs, labels[rows].expand(self.together, -1))
            for name, values in block.items():
                found[name].append(values[:, : stop - start])
        return {name: torch.cat(values, dim=1) for name, values in found.items()}


class _Training:
    """One group's way through all its steps; a model that has done its own steps is kept as it was then."""

    def __init__(
        self, *, setting: TrainingSetting, model: StackedModel, state: Stack, streams: list[BatchStream]
    ) -> None:
        self._setting = setting
        self._model = model
        self._state = state
        self._streams = streams
        self._steps = np.array([stream.steps for stream in streams])
        self._views = tuple(view.requires_grad_() for view in model.layout.views(state.flat))
        self._gradients = torch.zeros_like(state.flat)
        self._gradient_views = model.layout.views(self._gradients)
        self._optimizer = flat_optimizer(setting.spec.optimizer)
        self._buffer: Tensor | None = None

    @torch.no_grad()
    def run(self) -> None:
        """Train in place."""
        flat = self._state.flat
        rates = self._rates()
        most = int(self._steps.max())
        done = {int(step): np.flatnonzero(self._steps == step) for step in np.unique(self._steps)}
        kept = {step: (rows, flat[rows].clone()) for step, rows in done.items() if step == 0}
        device = flat.device
        for block in batch_blocks(self._streams, batch_width(self._setting.spec.batch_size, self._setting.data.n)):
            rows = torch.from_numpy(block.rows).to(device)
            coefficients = torch.from_numpy(block.coefficients).to(device)
            labels = self._setting.data.train_labels[rows]
            for i in range(len(rows)):
                self._backward(rows[i], labels[i], coefficients[i])
                self._optimizer.step(flat, self._gradients, rates[block.start + i])
                step = block.start + i + 1
                if step in done and step < most:
                    kept[step] = (done[step], flat[done[step]].clone())
        for models, parameters in kept.values():
            flat[models] = parameters

    def _backward(self, rows: Tensor, labels: Tensor, coefficients: Tensor) -> None:
        setting = self._setting
        inputs, self._buffer = gather(setting.data.train_features, rows, self._buffer)
        with torch.enable_grad():
            outputs = self._model.forward(self._views, self._state.fixed, inputs, training=True)
        towards = training_gradient(setting.data.task, outputs.detach(), labels, coefficients)
        with aligned_products(setting.data.device):
            gradients = torch.autograd.grad(outputs, self._views, towards, allow_unused=True)
        for view, gradient in zip(self._gradient_views, gradients, strict=True):
            if gradient is not None:
                view.copy_(gradient)

    def _rates(self) -> Tensor:
        """Learning rates [steps, K, 1]; 0 after a model's last step."""
        rates = np.zeros((int(self._steps.max()), len(self._streams), 1))
        for k, stream in enumerate(self._streams):
            rates[: stream.steps, k, 0] = self._setting.rates(stream)
        return torch.from_numpy(rates).to(self._state.flat)
