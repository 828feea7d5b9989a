"""Losses of networks, on any leading shape `[..., B]`: the gradient that trains, and the losses that are kept."""

import torch
from torch import Tensor

from workers.dataset import Task


def training_gradient(task: Task, outputs: Tensor, labels: Tensor, coefficients: Tensor) -> Tensor:
    """Gradient of sum_b coefficients[b] * loss[b] by the outputs, in their shape.

    outputs: [..., B, C] logits for cross-entropy, softmax - one-hot; [..., B] or [..., B, 1] for the squared error,
    2 (output - target). labels, coefficients: [..., B].
    """
    if task == "classification":
        gradient = torch.softmax(outputs, dim=-1)
        index = labels.unsqueeze(-1)
        gradient.scatter_add_(-1, index, gradient.new_full((), -1.0).expand(index.shape))
    else:
        gradient = 2.0 * (outputs - labels.reshape(outputs.shape))
    shape = coefficients.shape if outputs.ndim == coefficients.ndim else (*coefficients.shape, 1)
    return gradient.mul_(coefficients.reshape(shape))


def losses_of(names: tuple[str, ...], task: Task, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The losses named, each [..., B], of outputs [..., B, C] or, for regression, [..., B] or [..., B, 1].

    cross_entropy: minus the log-softmax at the label, in nats. zero_one: 1 where the largest logit (the first of
    equals) is not the label's. margin: largest other logit minus the label's, so that lower is better and a
    negative number means a right answer. squared_error, absolute_error: of the output. NaN outputs give NaN.
    """
    if task == "regression":
        difference = outputs.reshape(*outputs.shape[: labels.ndim]) - labels
        return {name: difference.square() if name == "squared_error" else difference.abs() for name in names}
    return {name: _classification_loss(name, outputs, labels) for name in names}


def _classification_loss(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    index = labels.unsqueeze(-1).expand(*logits.shape[:-1], 1)
    if name == "cross_entropy":
        return -torch.log_softmax(logits, dim=-1).gather(-1, index).squeeze(-1)
    if name == "margin":
        others = logits.scatter(-1, index, -torch.inf)
        return others.amax(dim=-1) - logits.gather(-1, index).squeeze(-1)
    wrong = (logits.argmax(dim=-1) != labels).to(logits.dtype)
    return torch.where(logits.isnan().any(dim=-1), torch.nan, wrong)
