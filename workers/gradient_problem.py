"""A learner as the gradient estimators see it: model, loss, penalty, what leaving an instance out means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from estimators.arrays import AnyArray
from estimators.gradient.objective import CrossEntropy, Instances, Objective, RowLoss, SquaredError
from workers.errors import LearnerError
from workers.grouped import GroupedLearner
from workers.keeping import Models
from workers.learner import Learner
from workers.learners.linear_data import LinearData
from workers.learners.logistic_regression import LogisticRegressionLearner
from workers.learners.ridge import RidgeLearner
from workers.learners.torch_learner import TorchLearner

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class GradientProblem:
    """objective: with a model whose parameters are yet to be loaded. loss: its name. notes: what a reader must know.

    state: parameters of kept model k by the names of the objective's model.
    """

    objective: Objective
    train: Instances
    test: Instances
    loss: str
    state: Callable[[Models, int], State]
    notes: tuple[str, ...] = ()


def gradient_problem(learner: Learner) -> GradientProblem:
    """The problem of a torch, logistic regression or ridge learner.

    Raises:
        LearnerError: another learner, or groups as players.
    """
    if isinstance(learner, GroupedLearner):
        raise LearnerError("gradients: they value training rows, not groups", mend="leave `data.group` out")
    if isinstance(learner, TorchLearner):
        return _of_torch(learner)
    if isinstance(learner, LogisticRegressionLearner):
        return _of_logistic(learner)
    if isinstance(learner, RidgeLearner):
        return _of_ridge(learner)
    raise LearnerError(
        f"gradients: a {type(learner).__name__} has no gradients that could be taken here",
        mend="take kind: torch, logistic_regression or ridge",
    )


def _of_torch(learner: TorchLearner) -> GradientProblem:
    setting = learner.setting
    data, spec = setting.data, setting.spec
    known: dict[str, RowLoss] = {"cross_entropy": CrossEntropy(), "squared_error": SquaredError()}
    plain = setting.objective.loss is None and not setting.objective.smoothing
    notes = []
    if spec.optimizer.name == "adamw" and spec.optimizer.weight_decay:
        notes.append("adamw's decoupled weight decay is taken as an L2 penalty of the same size")
    return GradientProblem(
        objective=Objective(
            setting.factory.build(0),
            known[setting.objective.name] if plain else setting.objective.each,
            penalty=spec.optimizer.weight_decay,
            deletion="mean",
        ),
        train=Instances(_inputs(data.train_features), data.train_labels, _weights(data.weights)),
        test=Instances(_inputs(data.test_features), data.test_labels),
        loss=setting.objective.name,
        state=lambda models, k: {name: torch.from_numpy(np.asarray(array[k])) for name, array in models.items()},
        notes=tuple(notes),
    )


def _inputs(features: Tensor) -> Tensor:
    return features if features.is_floating_point() else features.long()


def _weights(weights: AnyArray | None) -> Tensor | None:
    if weights is None or bool((weights == weights[0]).all()):
        return None
    return torch.from_numpy(weights / weights.mean())


class Logits(nn.Module):
    """A linear layer's logits; for two classes with one logit, 0 stands before it."""

    def __init__(self, width: int, logits: int, *, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(width, logits, bias=bias, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """[b, C]."""
        found: Tensor = self.linear(x)
        return found if found.shape[1] > 1 else torch.cat([torch.zeros_like(found), found], dim=1)


def _of_logistic(learner: LogisticRegressionLearner) -> GradientProblem:
    data, bias = learner.data, learner.spec.fit_intercept
    width = data.features.shape[1] - bias

    def state(models: Models, k: int) -> State:
        found = {"linear.weight": torch.from_numpy(models["coefficients"][k][:, :width])}
        return found | ({"linear.bias": torch.from_numpy(models["coefficients"][k][:, -1])} if bias else {})

    penalty = {"linear.weight": 1.0 / (learner.spec.c * float(data.weights.sum()))}
    module = Logits(width, learner.rows.logits, bias=bias)
    labels = tuple(part.astype(np.int64) for part in (data.labels, data.test_labels))
    train, test = _linear_instances(data, width, labels)
    return GradientProblem(Objective(module, CrossEntropy(), penalty, "sum"), train, test, "cross_entropy", state)


def _of_ridge(learner: RidgeLearner) -> GradientProblem:
    data, bias = learner.data, learner.spec.fit_intercept
    width = data.features.shape[1]

    def state(models: Models, k: int) -> State:
        found = {"weight": torch.from_numpy(models["coefficients"][k][None])}
        return found | ({"bias": torch.from_numpy(models["intercepts"][k : k + 1])} if bias else {})

    penalty = {"weight": 2.0 * learner.spec.alpha / float(data.weights.sum())}
    module = nn.Linear(width, 1, bias=bias, dtype=torch.float64)
    train, test = _linear_instances(data, width, (data.labels, data.test_labels))
    return GradientProblem(Objective(module, SquaredError(), penalty, "sum"), train, test, "squared_error", state)


def _linear_instances(data: LinearData, width: int, labels: tuple[AnyArray, ...]) -> tuple[Instances, Instances]:
    features = torch.from_numpy(data.features[:, :width])
    train, test = (torch.from_numpy(np.ascontiguousarray(part)) for part in labels)
    return (
        Instances(features[data.n_test :], train, _weights(data.weights)),
        Instances(features[: data.n_test], test),
    )
