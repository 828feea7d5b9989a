"""Losses of networks on outputs `[..., C, B]`, classes before rows: the gradient that trains, and the losses kept.

Rows stand last because softmax over ten classes of many rows then runs along vector registers (measured 25 times
as fast as over a last dimension of ten).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from workers.dataset import Task
from workers.errors import LearnerError

UserLoss = Callable[[Tensor, Tensor], Tensor]
"""loss(outputs [B, C], or [B] for regression, labels [B]) -> [B], one loss an instance."""


def training_gradient(
    task: Task, outputs: Tensor, labels: Tensor, coefficients: Tensor, *, smoothing: float = 0.0
) -> Tensor:
    """Gradient of sum_b coefficients[b] * loss[b] by the outputs, in their shape.

    outputs: [..., C, B] logits for cross-entropy, softmax minus the smoothed one-hot vector (Szegedy et al. 2016,
    section 7); [..., 1, B] for the squared error, 2 (output - target). labels, coefficients: [..., B].
    """
    if task == "classification":
        gradient = torch.softmax(outputs, dim=-2)
        index = labels.unsqueeze(-2)
        gradient.scatter_add_(-2, index, gradient.new_full((), smoothing - 1.0).expand(index.shape))
        if smoothing:
            gradient.sub_(smoothing / outputs.shape[-2])
    else:
        gradient = 2.0 * (outputs - labels.unsqueeze(-2))
    return gradient.mul_(coefficients.unsqueeze(-2))


def user_gradient(loss: UserLoss, outputs: Tensor, labels: Tensor, coefficients: Tensor) -> Tensor:
    """As `training_gradient`, of a loss of the user's, by autograd on all rows at once: a loss is one row's alone."""
    flat = outputs.mT.reshape(-1, outputs.shape[-2]).detach().requires_grad_()
    with torch.enable_grad():
        each = user_losses(loss, flat, labels.reshape(-1))
        (found,) = torch.autograd.grad(each, flat, coefficients.reshape(-1).to(each.dtype))
    return found.view(outputs.mT.shape).mT.contiguous()


def user_losses(loss: UserLoss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Losses [B] of outputs [B, C].

    Raises:
        LearnerError: the function does not return one number an instance.
    """
    found = loss(outputs.squeeze(1) if outputs.shape[1] == 1 else outputs, labels)
    name = getattr(loss, "__name__", "loss")
    if not isinstance(found, Tensor) or found.shape != labels.shape or not found.is_floating_point():
        got = f"shape {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise LearnerError(
            f"loss: {name} returns {got} for {len(labels)} instances; wanted floats [{len(labels)}], one loss an"
            " instance (no mean, no sum)"
        )
    return found


def losses_of(
    names: tuple[str, ...], task: Task, outputs: Tensor, labels: Tensor, users: Mapping[str, UserLoss]
) -> dict[str, Tensor]:
    """The losses named, each [..., B], of outputs [..., C, B] (C = 1 for regression).

    cross_entropy: minus the log-softmax at the label, in nats. zero_one: 1 where the largest logit (the first of
    equals) is not the label's. margin: largest other logit minus the label's, so that lower is better and a
    negative number means a right answer. squared_error, absolute_error: of the output. NaN outputs give NaN.
    users: losses of the user's by name.
    """
    found = {}
    for name in names:
        if name in users:
            flat = outputs.mT.reshape(-1, outputs.shape[-2])
            found[name] = user_losses(users[name], flat, labels.reshape(-1)).view(labels.shape)
        elif task == "regression":
            difference = outputs.squeeze(-2) - labels
            found[name] = difference.square() if name == "squared_error" else difference.abs()
        else:
            found[name] = _classification_loss(name, outputs, labels)
    return found


def _classification_loss(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    index = labels.unsqueeze(-2).expand(*logits.shape[:-2], 1, logits.shape[-1])
    if name == "cross_entropy":
        return -torch.log_softmax(logits, dim=-2).gather(-2, index).squeeze(-2)
    if name == "margin":
        others = logits.scatter(-2, index, -torch.inf)
        return others.amax(dim=-2) - logits.gather(-2, index).squeeze(-2)
    wrong = (logits.argmax(dim=-2) != labels).to(logits.dtype)
    return torch.where(logits.isnan().any(dim=-2), torch.nan, wrong)


def widened(outputs: Tensor) -> Tensor:
    """Outputs in float32 where they were computed with fewer digits; losses are never taken in those."""
    return outputs.float() if outputs.dtype in {torch.bfloat16, torch.float16} else outputs
