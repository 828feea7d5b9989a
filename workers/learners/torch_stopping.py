"""Early stopping: each retrain by its own mean loss on the validation set, after each of its own epochs."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import IntArray
from workers.errors import LearnerError
from workers.learner_specs import TorchSpec
from workers.learners.torch_batched import BatchedModel
from workers.learners.torch_data import TorchData
from workers.learners.torch_evaluation import GroupEvaluation
from workers.learners.torch_setting import TrainingSetting
from workers.learners.torch_state import GroupState, keep_models


def check_stopping(spec: TorchSpec, data: TorchData) -> None:
    """Raises LearnerError where early stopping is asked for and there is no validation set."""
    if spec.early_stopping is not None and data.validation_features is None:
        raise LearnerError(
            "learner.early_stopping: it needs a validation set: name one under `data.validation` (not the test set,"
            " whose losses are what is explained)"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """After an epoch: whether it is the best so far, the best loss, epochs since it, and whether to stop."""

    improved: bool
    best: float
    waited: int
    stop: bool


def verdict(loss: float, best: float, waited: int, *, patience: int, least: float) -> Verdict:
    """Prechelt's rule (1998) of patience; a loss that is no number never is the best."""
    if loss < best - least or (loss < best and best == np.inf):
        return Verdict(improved=True, best=loss, waited=0, stop=False)
    return Verdict(improved=False, best=best, waited=waited + 1, stop=waited + 1 >= patience)


@dataclass(frozen=True, slots=True)
class ValidationWatch:
    """Looks at a group after each step. per_epoch: [K], steps of an epoch of each model's own."""

    setting: TrainingSetting
    evaluation: GroupEvaluation
    features: Tensor
    labels: Tensor
    per_epoch: IntArray

    @classmethod
    def of(cls, setting: TrainingSetting, model: BatchedModel, state: GroupState, per_epoch: list[int]) -> Self | None:
        """The watch that the job asks for, or None."""
        data = setting.data
        if setting.spec.early_stopping is None or data.validation_features is None or data.validation_labels is None:
            return None
        evaluation = GroupEvaluation(setting, model, state, (setting.objective.name,))
        return cls(setting, evaluation, data.validation_features, data.validation_labels, np.maximum(per_epoch, 1))

    def look(self, state: GroupState) -> None:
        """Judge the models that have just ended an epoch."""
        ending = np.flatnonzero((state.step % self.per_epoch == 0) & ~state.done.numpy())
        rule = self.setting.spec.early_stopping
        if not len(ending) or rule is None:
            return
        losses = self.evaluation.losses(self.features, self.labels)[self.setting.objective.name]
        means = [row.mean().item() for row in losses.double()]
        improved = torch.zeros(len(state.flat), dtype=torch.bool)
        for k in ending.tolist():
            found = verdict(
                means[k], float(state.best[k]), int(state.waited[k]), patience=rule.patience, least=rule.least
            )
            state.best[k], state.waited[k], improved[k] = found.best, found.waited, found.improved
            state.done[k] = found.stop and math.isfinite(found.best)
        keep_models(state, improved)
