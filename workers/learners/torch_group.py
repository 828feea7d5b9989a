"""K retrains on their way through all their steps, side by side."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from workers.learners.torch_batched import BatchedModel
from workers.learners.torch_batches import BatchBlock, BatchStream, batch_blocks, batch_width
from workers.learners.torch_data import gather
from workers.learners.torch_dropout import step_keys
from workers.learners.torch_functions import Augmentation, augmented
from workers.learners.torch_graphs import RecordedStep
from workers.learners.torch_optimizers import clip_gradients, flat_optimizer
from workers.learners.torch_precision import computing
from workers.learners.torch_setting import TrainingSetting
from workers.learners.torch_state import GroupState, keep_models
from workers.learners.torch_stopping import ValidationWatch


class GroupTraining:
    """Moves a group's state. A model that has done its own steps is kept as it was then, whatever the others do.

    Everything that a step needs besides the state is derived from the streams (members and seeds), so that a state
    restored from a checkpoint goes on with the same bits.
    """

    def __init__(
        self, *, setting: TrainingSetting, model: BatchedModel, state: GroupState, streams: list[BatchStream]
    ) -> None:
        self._setting = setting
        self._model = model
        self._state = state
        self._streams = streams
        self._seeds = np.array([stream.seed for stream in streams], dtype=np.uint64)
        self._own_steps = np.array([stream.steps for stream in streams])
        self._ends = frozenset(self._own_steps.tolist())
        self._optimizer = flat_optimizer(setting.spec.optimizer)
        self._gradients = torch.zeros_like(state.flat)
        self._width = batch_width(setting.spec.batch_size, setting.data.n)
        self._step = model.gradients(state.flat, state.fixed, self._gradients, rows=self._width)
        self._rates = self._all_rates()
        self._buffer: Tensor | None = None
        on_gpu = setting.data.device.startswith("cuda")
        self._records = setting.spec.cuda_graphs and on_gpu and setting.functions.augment is None
        self._recorded: RecordedStep | None = None
        self._watch = ValidationWatch.of(setting, model, state, [stream.steps_per_epoch for stream in streams])

    @property
    def steps(self) -> int:
        """Steps of the longest retrain."""
        return int(self._own_steps.max())

    @property
    def finished(self) -> bool:
        """Whether every model has done its own steps, or has stopped before."""
        return self._state.step >= self.steps or bool(self._state.done.all())

    @torch.no_grad()
    def run(self, until: int | None = None) -> None:
        """Train in place from the state's step to step `until`, or to the end."""
        state = self._state
        last = self.steps if until is None else min(until, self.steps)
        self._keep_finished()
        with computing(self._setting.spec.precision, self._setting.data.device):
            for block in batch_blocks(self._streams, self._width, state.step):
                self._run_block(block, last)
                if state.step >= last or bool(state.done.all()):
                    break
        if bool(state.done.all()):
            state.flat.copy_(state.kept)

    def _run_block(self, block: BatchBlock, last: int) -> None:
        state, data = self._state, self._setting.data
        count = min(len(block.rows), last - block.start)
        rows = torch.from_numpy(block.rows[:count]).to(data.device)
        coefficients = torch.from_numpy(block.coefficients[:count]).to(data.device)
        labels = torch.index_select(data.train_labels, 0, rows.view(-1)).view(rows.shape)
        keys = self._keys(block.start, count)
        for i in range(count):
            self._gradients_of([rows[i], labels[i], coefficients[i]], [key[i] for key in keys])
            rates = self._rates if isinstance(self._rates, float) else self._rates[state.step]
            state.step += 1
            if self._setting.spec.clip_norm is not None:
                clip_gradients(self._gradients, self._setting.spec.clip_norm)
            self._optimizer.step(state.flat, self._gradients, rates, state.moments, state.step)
            if self._watch is not None:
                self._watch.look(state)
            self._keep_finished()
            if self._watch is not None and bool(state.done.all()):
                return

    def _gradients_of(self, batch: list[Tensor], keys: list[Tensor]) -> None:
        """Gradients of a batch's rows, labels and coefficients, each [K, width], replayed where they are recorded."""
        if not self._records:
            rows, labels, coefficients = batch
            self._backward(rows, labels, coefficients, keys)
            return
        if self._recorded is None:
            self._recorded = RecordedStep(self._backward, batch, keys)
        self._recorded(batch, keys)

    def _backward(self, rows: Tensor, labels: Tensor, coefficients: Tensor, keys: list[Tensor]) -> None:
        setting = self._setting
        inputs, self._buffer = gather(setting.data.train_features, rows, self._buffer)
        if setting.functions.augment is not None:
            self._augment(setting.functions.augment, inputs)
        if keys:
            self._step.set_keys(keys)
        self._step.run(inputs, partial(setting.objective.gradient, labels=labels, coefficients=coefficients))

    def _augment(self, augment: Augmentation, inputs: Tensor) -> None:
        """Change each model's own rows of the batch [K, width, ...] in place; padding has no weight."""
        step = self._state.step
        for k, stream in enumerate(self._streams):
            count = stream.batch_rows(step)
            if count:
                inputs[k, :count] = augmented(augment, inputs[k, :count], stream.seed, step)

    def _keep_finished(self) -> None:
        """Keep models that have done their own steps, unless a better epoch of theirs is kept already."""
        if self._state.step not in self._ends:
            return
        state = self._state
        ending = torch.from_numpy(self._own_steps == state.step) & ~state.done
        keep_models(state, ending & state.best.isinf())
        state.done |= ending

    def _keys(self, start: int, count: int) -> list[Tensor]:
        """Keys [count, K] of each dropout layer."""
        device = self._state.flat.device
        return [
            torch.from_numpy(step_keys(self._seeds, layer, start, count)).to(device)
            for layer in range(self._model.dropouts)
        ]

    def _all_rates(self) -> Tensor | float:
        """The one learning rate, or rates [steps, K, 1], 0 after a model's last step."""
        constant = self._setting.constant_rate
        if constant is not None:
            return constant
        rates = np.zeros((self.steps, len(self._streams), 1))
        for k, stream in enumerate(self._streams):
            rates[: stream.steps, k, 0] = self._setting.rates(stream)
        return torch.from_numpy(rates).to(self._state.flat)
