"""K models of one class through `torch.func.vmap`, for modules that are no chain of hand-written layers."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from workers.learners.torch_alignment import aligned_products
from workers.learners.torch_batched import Gradients
from workers.learners.torch_dropout import KEY_NAME, counted
from workers.learners.torch_layout import FlatLayout, flat_layout
from workers.learners.torch_losses import widened
from workers.learners.torch_state import Tensors


@dataclass(frozen=True, slots=True)
class StackedModel:
    """Runs K models through `torch.func.vmap`. template: any one of them, for its code alone."""

    template: nn.Module
    layout: FlatLayout
    fixed_names: tuple[str, ...]
    dropouts: int

    def gradients(self, flat: Tensor, fixed: Tensors, towards: Tensor, *, rows: int) -> "StackedGradients":
        """A training step's gradients for parameters flat [K, P], written into `towards` [K, P]."""
        del rows
        return StackedGradients(self, flat, fixed, towards)

    def outputs(self, flat: Tensor, fixed: Tensors, *, rows: int) -> "StackedOutputs":
        """Evaluation of K models on instances that they share."""
        del rows
        return StackedOutputs(self, self.layout.views(flat), fixed)

    def forward(self, views: Tensors, fixed: Tensors, inputs: Tensor, *, training: bool) -> Tensor:
        """Outputs [K, B, ...] of inputs [K, B, ...], with parameters as `layout.views` gives them."""
        self.template.train(training)
        names = (*(piece.name for piece in self.layout.pieces), *self.fixed_names)

        def one(state: Tensors, batch: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self.template, dict(zip(names, state, strict=True)), (batch,))
            return outputs

        with _attention_that_batches(inputs.device.type):
            outputs: Tensor = vmap(one)((*views, *fixed), inputs)
        return outputs


@contextmanager
def _attention_that_batches(kind: str) -> Iterator[None]:
    """Fused attention, the CPU's and inference's, has no batching rule: vmap would run it model by model."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH) if kind == "cpu" else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class StackedGradients:
    """Forward and backward of K models by autograd."""

    def __init__(self, model: StackedModel, flat: Tensor, fixed: Tensors, towards: Tensor) -> None:
        self._model, self._fixed = model, fixed
        self._device = str(flat.device)
        self._views = tuple(view.requires_grad_() for view in model.layout.views(flat))
        self._towards = model.layout.views(towards)
        places = dict(zip(model.fixed_names, fixed, strict=True))
        self._keys = [places[name] for name in _key_names(model.template)]

    def set_keys(self, keys: list[Tensor]) -> None:
        """Keys [K] int32 of this step, one tensor a dropout layer."""
        for own, key in zip(self._keys, keys, strict=True):
            own.copy_(key)

    def run(self, inputs: Tensor, output_gradient: Gradients) -> None:
        """Write the gradients of a batch [K, B, ...]."""
        with torch.enable_grad():
            outputs = self._model.forward(self._views, self._fixed, inputs, training=True)
            outputs = widened(class_major(outputs))
        towards = output_gradient(outputs.detach())
        with aligned_products(self._device):
            found = torch.autograd.grad(outputs, self._views, towards, allow_unused=True)
        for view, gradient in zip(self._towards, found, strict=True):
            if gradient is not None:
                view.copy_(gradient)


@dataclass(frozen=True, slots=True)
class StackedOutputs:
    """Outputs of K models on instances that they share."""

    model: StackedModel
    views: Tensors
    fixed: Tensors

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs [K, C, rows] of inputs [rows, ...]."""
        shared = inputs.unsqueeze(0).expand(len(self.views[0]), *inputs.shape)
        return widened(class_major(self.model.forward(self.views, self.fixed, shared, training=False)))


def class_major(outputs: Tensor) -> Tensor:
    """Outputs [K, B, C] or [K, B] as [K, C, B], C = 1 for the latter."""
    return outputs.unsqueeze(1) if outputs.ndim == 2 else outputs.mT


def fixed_tensors(module: nn.Module) -> dict[str, Tensor]:
    """What of the module is not trained: buffers, and parameters that ask for no gradient."""
    frozen = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}
    return {**frozen, **dict(module.named_buffers())}


def stacked_model(template: nn.Module) -> StackedModel:
    """The batched form of models like `template`, which is kept and must stand on the device."""
    return StackedModel(
        template=template,
        layout=flat_layout(template),
        fixed_names=tuple(fixed_tensors(template)),
        dropouts=len(counted(template)),
    )


def _key_names(template: nn.Module) -> list[str]:
    """Names of the dropout keys among what is not trained, in the order of the layers."""
    return [
        f"{name}.{KEY_NAME}" if name else KEY_NAME
        for name, part in template.named_modules()
        if part in set(counted(template))
    ]
