"""The batched form of a model, by hand or through vmap, tried on a few rows against models alone."""

import warnings
from typing import Final

import torch
from torch import Tensor, nn

from workers.dataset import Task
from workers.learners.torch_batched import BatchedModel
from workers.learners.torch_chain import NotAChainError
from workers.learners.torch_chain_model import chain_model
from workers.learners.torch_dropout import counted
from workers.learners.torch_layout import FlatLayout
from workers.learners.torch_losses import training_gradient
from workers.learners.torch_module import ModuleFactory
from workers.learners.torch_stack import class_major, fixed_tensors, stacked_model

SEEDS: Final = (0, 1, 2)
AGREEMENT: Final = 1e-3
KEY: Final = 12345


def batched_model(
    factory: ModuleFactory, inputs: Tensor, labels: Tensor, task: Task, device: str, *, by_hand: bool = True
) -> tuple[BatchedModel | None, str]:
    """The batched form of the factory's models, or None and why there is none.

    inputs [B, ...], labels [B]: a few instances on the CPU, on which outputs and gradients are compared. by_hand:
    whether steps written by hand will do; they compute in the parameters' own type.
    """
    modules = [factory.build(seed) for seed in SEEDS]
    reason = ""
    for form in (_by_hand, _by_vmap) if by_hand else (_by_vmap,):
        model, reason = form(modules[0], inputs)
        if model is None:
            continue
        reason = _disagreement(model, modules, inputs, labels, task)
        if not reason:
            modules[0].to(device)
            return model, ""
    return None, reason


def _by_hand(module: nn.Module, inputs: Tensor) -> tuple[BatchedModel | None, str]:
    try:
        return chain_model(module, inputs[:1], tuple(fixed_tensors(module))), ""
    except NotAChainError as error:
        return None, str(error)


def _by_vmap(module: nn.Module, inputs: Tensor) -> tuple[BatchedModel | None, str]:
    del inputs
    return stacked_model(module), ""


def _disagreement(model: BatchedModel, modules: list[nn.Module], inputs: Tensor, labels: Tensor, task: Task) -> str:
    """Why the batched form cannot be used; "" where it can."""
    try:
        # Recorded, not raised: the filter holds for all threads, and the store may be starting in another.
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            together = _together(model, modules, inputs, labels, task)
    except Exception as error:  # noqa: BLE001 - whatever vmap cannot do is a reason to loop, not to fail
        return f"torch.func.vmap cannot batch it ({(str(error).strip() or repr(error)).splitlines()[0][:200]})"
    slow = [str(each.message) for each in said if "performance drop" in str(each.message)]
    if slow:
        return f"torch.func.vmap cannot batch it ({slow[0].splitlines()[0][:200]})"
    alone = [_alone(module, model.layout, inputs, labels, task) for module in modules]
    for part in range(2):
        if not agree(torch.stack([each[part] for each in alone]), together[part]):
            return "batched, its outputs are not those of the models alone (it may keep tensors that are no buffers)"
    return ""


def _together(
    model: BatchedModel, modules: list[nn.Module], inputs: Tensor, labels: Tensor, task: Task
) -> tuple[Tensor, Tensor]:
    """Outputs [3, C, B] and gradients [3, P] of the models as one, in training."""
    flat = model.layout.buffer(len(modules), "cpu")
    for row, module in zip(flat, modules, strict=True):
        model.layout.fill(row, module)
    states = [fixed_tensors(module) for module in modules]
    fixed = tuple(torch.stack([state[name] for state in states]) for name in model.fixed_names)
    gradients, seen = torch.zeros_like(flat), []

    def output_gradient(outputs: Tensor) -> Tensor:
        seen.append(outputs.clone())
        return _gradient(task, outputs, labels.expand(len(modules), -1))

    with torch.no_grad():
        step = model.gradients(flat, fixed, gradients, rows=len(inputs))
        step.set_keys([torch.full((len(modules),), KEY, dtype=torch.int32)] * model.dropouts)
        step.run(inputs.expand(len(modules), *inputs.shape).contiguous(), output_gradient)
    return seen[0], gradients


def _alone(module: nn.Module, layout: FlatLayout, inputs: Tensor, labels: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Outputs [C, B] and gradients [P] of one model by itself."""
    for layer in counted(module):
        layer.dropout_key.fill_(KEY)
    outputs = class_major(module.train()(inputs).unsqueeze(0))[0]
    parameters = dict(module.named_parameters())
    chosen = [parameters[piece.name] for piece in layout.pieces]
    found = torch.autograd.grad(outputs, chosen, _gradient(task, outputs.detach(), labels), allow_unused=True)
    flat = layout.buffer(1, "cpu")
    for piece, gradient in zip(layout.pieces, found, strict=True):
        if gradient is not None:
            piece.view(flat)[0].copy_(gradient)
    return outputs.detach(), flat[0]


def _gradient(task: Task, outputs: Tensor, labels: Tensor) -> Tensor:
    return training_gradient(task, outputs, labels, torch.full(labels.shape, 1.0 / labels.shape[-1]))


def agree(one: Tensor, other: Tensor) -> bool:
    """Equal to rounding, relative to the largest; NaN agrees with NaN."""
    if one.shape != other.shape:
        return False
    scale = max(float(one.nan_to_num().abs().max()), 1e-30)
    return torch.allclose(one / scale, other / scale, rtol=AGREEMENT, atol=AGREEMENT, equal_nan=True)
