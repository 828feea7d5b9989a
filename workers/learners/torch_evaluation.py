"""Losses of K models on instances that they share, in blocks of one shape."""

import torch
from torch import Tensor

from workers.learners.torch_batched import BatchedModel
from workers.learners.torch_data import gather
from workers.learners.torch_losses import losses_of
from workers.learners.torch_precision import computing
from workers.learners.torch_setting import TrainingSetting
from workers.learners.torch_state import GroupState


class GroupEvaluation:
    """Evaluates a group's present parameters. names: losses; unsaid, those that the job keeps."""

    def __init__(
        self, setting: TrainingSetting, model: BatchedModel, state: GroupState, names: tuple[str, ...] = ()
    ) -> None:
        self._setting = setting
        self._names = names or setting.kept
        self._models = len(state.flat)
        self._outputs = model.outputs(state.flat, state.fixed, rows=setting.evaluation_rows)

    @torch.no_grad()
    def losses(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses [K, rows] by name."""
        setting, size = self._setting, self._setting.evaluation_rows
        found: dict[str, list[Tensor]] = {name: [] for name in self._names}
        buffer: Tensor | None = None  # one for all blocks: small results would settle in the gaps that blocks leave
        for start in range(0, len(labels), size):
            stop = min(start + size, len(labels))
            # The last block is filled with its last row, so that all blocks have one shape.
            rows = torch.arange(start, start + size, device=labels.device).clamp_(max=stop - 1)
            shared = labels[rows].expand(self._models, -1)
            inputs, buffer = gather(features, rows, buffer)
            with computing(setting.spec.precision, setting.data.device):
                outputs = self._outputs(inputs)
            for name, values in losses_of(self._names, setting.data.task, outputs, shared, setting.users).items():
                found[name].append(values[:, : stop - start])
        return {name: torch.cat(values, dim=1) for name, values in found.items()}
