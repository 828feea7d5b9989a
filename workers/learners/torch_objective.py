"""What a network is trained for, together and looped alike."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from workers.dataset import Task
from workers.errors import LearnerError
from workers.learner_specs import TorchSpec
from workers.learners.torch_losses import UserLoss, training_gradient, user_gradient, user_losses


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of an instance: cross-entropy (with label smoothing), squared error, or one of the user's."""

    task: Task
    smoothing: float = 0.0
    loss: UserLoss | None = None

    def gradient(self, outputs: Tensor, labels: Tensor, coefficients: Tensor) -> Tensor:
        """Gradient of sum_b coefficients[b] * loss[b] by outputs [K, C, B]; labels, coefficients: [K, B]."""
        if self.loss is not None:
            return user_gradient(self.loss, outputs, labels, coefficients)
        return training_gradient(self.task, outputs, labels, coefficients, smoothing=self.smoothing)

    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Losses [B] of one model's outputs, [B, C] or for regression [B] or [B, 1], for autograd."""
        if self.loss is not None:
            return user_losses(self.loss, outputs if outputs.ndim == 2 else outputs.unsqueeze(1), labels)
        if self.task == "classification":
            return functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=self.smoothing)
        return functional.mse_loss(outputs.reshape(labels.shape), labels, reduction="none")

    @property
    def name(self) -> str:
        """Under which `losses_of` knows the loss without smoothing."""
        if self.loss is not None:
            return "the training loss"
        return "cross_entropy" if self.task == "classification" else "squared_error"


def objective_of(spec: TorchSpec, task: Task, loss: UserLoss | None) -> Objective:
    """The objective that a spec asks for. Raises LearnerError where its parts do not fit together."""
    if spec.label_smoothing and (task == "regression" or loss is not None):
        why = "the task is regression" if task == "regression" else "`loss` is a function of yours"
        raise LearnerError(f"learner.label_smoothing: it is for the cross-entropy, but {why}: leave it out")
    return Objective(task, spec.label_smoothing, loss)
