"""Walks of networks: one pass of stochastic gradient descent with batches of one, many permutations in lockstep."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import Float32Array, IntArray, SeedArray
from estimators.seeding import derive_seed
from workers.learners.torch_alignment import aligned_products
from workers.learners.torch_batches import ROW_MULTIPLE
from workers.learners.torch_data import as_inputs
from workers.learners.torch_losses import losses_of, training_gradient
from workers.learners.torch_module import seeded
from workers.learners.torch_setting import TrainingSetting
from workers.learners.torch_stack import StackedModel

Kept = dict[str, Float32Array]


@dataclass(frozen=True, slots=True)
class TorchWalk:
    """Walks of the user's network from the initialisations of their seeds; looped where `model` is None.

    The network is in training mode for its steps and in evaluation mode for its losses.
    """

    setting: TrainingSetting
    model: StackedModel | None
    together: int

    def walk(self, orders: IntArray, seeds: SeedArray, *, rate: float, columns: IntArray) -> Kept:
        """Losses [K, n + 1, c + 1], see `workers.walking.Walker`."""
        shape = (len(orders), orders.shape[1] + 1, len(columns) + 1)
        kept = {name: np.empty(shape, dtype=np.float32) for name in self.setting.kept}
        if self.model is None:
            for k in range(len(orders)):
                for position, losses in enumerate(self._alone(orders[k], int(seeds[k]), rate)):
                    _keep(kept, slice(k, k + 1), position, losses, columns)
            return kept
        for start in range(0, len(orders), self.together):
            rows = slice(start, min(start + self.together, len(orders)))
            filled = np.minimum(np.arange(start, start + self.together), len(orders) - 1)
            for position, losses in enumerate(self._group(self.model, orders[filled], seeds[filled], rate)):
                _keep(kept, rows, position, losses, columns)
        return kept

    def _group(
        self, model: StackedModel, orders: IntArray, seeds: SeedArray, rate: float
    ) -> Iterator[dict[str, Tensor]]:
        """Losses [K, n_test] after each step; every step's batch is filled to a fixed width that has no weight."""
        data = self.setting.data
        state = model.stack([self.setting.factory.build(int(seed)) for seed in seeds], data.device)
        views = tuple(view.requires_grad_() for view in model.layout.views(state.flat))
        coefficients = torch.zeros(len(orders), ROW_MULTIPLE, device=data.device)
        coefficients[:, 0] = 1.0
        steps = torch.from_numpy(orders).to(data.device)
        yield self._losses_together(model, views, state.fixed)
        for step in range(orders.shape[1]):
            rows = steps[:, step, None].expand(-1, ROW_MULTIPLE)
            outputs = model.forward(views, state.fixed, as_inputs(data.train_features[rows]), training=True)
            towards = training_gradient(data.task, outputs.detach(), data.train_labels[rows], coefficients)
            with aligned_products(data.device):
                gradients = torch.autograd.grad(outputs, views, towards, allow_unused=True)
            rates = torch.from_numpy(self._rates(orders[:, step], rate)).to(state.flat)
            with torch.no_grad():
                for view, gradient in zip(views, gradients, strict=True):
                    if gradient is not None:
                        view.addcmul_(gradient, rates.reshape(-1, *[1] * (view.ndim - 1)), value=-1)
            yield self._losses_together(model, views, state.fixed)

    @torch.no_grad()
    def _losses_together(
        self, model: StackedModel, views: tuple[Tensor, ...], fixed: tuple[Tensor, ...]
    ) -> dict[str, Tensor]:
        setting, found = self.setting, list[dict[str, Tensor]]()
        count, n_test, size = len(views[0]), setting.data.n_test, setting.evaluation_rows
        for start in range(0, n_test, size):
            rows = torch.arange(start, start + size, device=setting.data.device).clamp_(max=n_test - 1)
            features = as_inputs(setting.data.test_features[rows])
            inputs = features.unsqueeze(0).expand(count, -1, *features.shape[1:])
            outputs = model.forward(views, fixed, inputs, training=False)
            labels = setting.data.test_labels[rows].expand(count, -1)
            found.append(losses_of(setting.kept, setting.data.task, outputs, labels))
        return {name: torch.cat([part[name] for part in found], dim=1)[:, :n_test] for name in setting.kept}

    def _alone(self, order: IntArray, seed: int, rate: float) -> Iterator[dict[str, Tensor]]:
        """Losses [1, n_test] after each step."""
        data = self.setting.data
        module = self.setting.factory.build(seed).to(data.device)
        trained = [p for p in module.parameters() if p.requires_grad]
        one = torch.ones(1, device=data.device)
        with seeded(derive_seed("forward", seed), data.device):
            yield self._losses_alone(module)
            for row, own in zip(order.tolist(), self._rates(order, rate).tolist(), strict=True):
                module.train()
                rows = slice(row, row + 1)
                outputs = module(as_inputs(data.train_features[rows]))
                towards = training_gradient(data.task, outputs.detach().clone(), data.train_labels[rows], one)
                gradients = torch.autograd.grad(outputs, trained, towards, allow_unused=True)
                with torch.no_grad():
                    for parameter, gradient in zip(trained, gradients, strict=True):
                        if gradient is not None:
                            parameter.sub_(gradient, alpha=own)
                yield self._losses_alone(module)

    @torch.no_grad()
    def _losses_alone(self, module: torch.nn.Module) -> dict[str, Tensor]:
        module.eval()
        setting, found = self.setting, list[dict[str, Tensor]]()
        for start in range(0, setting.data.n_test, setting.evaluation_rows):
            part = slice(start, start + setting.evaluation_rows)
            outputs = module(as_inputs(setting.data.test_features[part]))
            found.append(losses_of(setting.kept, setting.data.task, outputs, setting.data.test_labels[part]))
        return {name: torch.cat([part[name] for part in found]).unsqueeze(0) for name in setting.kept}

    def _rates(self, rows: IntArray, rate: float) -> Float32Array:
        weights = self.setting.data.weights
        return np.asarray(rate * (np.ones(len(rows)) if weights is None else weights[rows]), dtype=np.float32)


def _keep(kept: Kept, rows: slice, position: int, losses: dict[str, Tensor], columns: IntArray) -> None:
    for name, values in losses.items():
        found = values[: rows.stop - rows.start].to(torch.float32).cpu().numpy()
        kept[name][rows, position, :-1] = found[:, columns]
        # one row at a time, so that no row's bits depend on the others
        kept[name][rows, position, -1] = [row.mean(dtype=np.float64) for row in found]
