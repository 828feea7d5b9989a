"""Walks of networks: one pass of stochastic gradient descent with batches of one, many permutations in lockstep."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import Float32Array, IntArray, SeedArray
from estimators.seeding import derive_seed
from workers.learners.torch_batched import BatchedModel
from workers.learners.torch_batches import ROW_MULTIPLE
from workers.learners.torch_data import as_inputs, gather
from workers.learners.torch_dropout import counted, step_keys
from workers.learners.torch_losses import losses_of
from workers.learners.torch_module import seeded
from workers.learners.torch_setting import TrainingSetting
from workers.learners.torch_stack import class_major
from workers.learners.torch_together import TogetherTrainer

Kept = dict[str, Float32Array]


@dataclass(frozen=True, slots=True)
class TorchWalk:
    """Walks of the user's network from the initialisations of their seeds; looped where `model` is None.

    The network is in training mode for its steps and in evaluation mode for its losses.
    """

    setting: TrainingSetting
    model: BatchedModel | None
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

    @torch.no_grad()
    def _group(
        self, model: BatchedModel, orders: IntArray, seeds: SeedArray, rate: float
    ) -> Iterator[dict[str, Tensor]]:
        """Losses [K, n_test] after each step; every step's batch is filled to a fixed width that has no weight."""
        trainer = TogetherTrainer(setting=self.setting, model=model, together=len(orders))
        data, state = self.setting.data, trainer.fresh(seeds)
        gradients = torch.zeros_like(state.flat)
        step = model.gradients(state.flat, state.fixed, gradients, rows=ROW_MULTIPLE)
        coefficients = torch.zeros(len(orders), ROW_MULTIPLE, device=data.device)
        coefficients[:, 0] = 1.0
        places = torch.from_numpy(orders).to(data.device)
        yield trainer.losses(state, data.test_features, data.test_labels)
        for number in range(orders.shape[1]):
            rows = places[:, number, None].expand(-1, ROW_MULTIPLE).contiguous()
            labels = data.train_labels[rows]
            keys = [step_keys(seeds, layer, number, 1)[0] for layer in range(model.dropouts)]
            step.set_keys([torch.from_numpy(key).to(data.device) for key in keys])
            towards = partial(self.setting.objective.gradient, labels=labels, coefficients=coefficients)
            step.run(gather(data.train_features, rows, None)[0], towards)
            rates = torch.from_numpy(self._rates(orders[:, number], rate)).to(state.flat)
            state.flat.addcmul_(gradients, rates[:, None], value=-1)
            yield trainer.losses(state, data.test_features, data.test_labels)

    def _alone(self, order: IntArray, seed: int, rate: float) -> Iterator[dict[str, Tensor]]:
        """Losses [1, n_test] after each step."""
        data = self.setting.data
        module = self.setting.factory.build(seed).to(data.device)
        trained = [p for p in module.parameters() if p.requires_grad]
        one = torch.ones(1, device=data.device)
        with seeded(derive_seed("forward", seed), data.device):
            yield self._losses_alone(module)
            rates = self._rates(order, rate).tolist()
            for number, (row, own) in enumerate(zip(order.tolist(), rates, strict=True)):
                module.train()
                for layer in counted(module):
                    layer.dropout_key.fill_(int(step_keys(np.array([seed], np.uint64), layer.number, number, 1)[0, 0]))
                rows = slice(row, row + 1)
                outputs = class_major(module(as_inputs(data.train_features[rows]).to(data.device)).unsqueeze(0))[0]
                towards = self.setting.objective.gradient(
                    outputs.detach()[None], data.train_labels[rows][None], one[None]
                )[0]
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
            outputs = class_major(module(as_inputs(setting.data.test_features[part])).unsqueeze(0))[0]
            found.append(
                losses_of(setting.kept, setting.data.task, outputs, setting.data.test_labels[part], self.setting.users)
            )
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
