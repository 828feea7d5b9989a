"""K models of one class as one: stacked parameters, one batched forward pass, gradients of each model."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from workers.learners.torch_layout import FlatLayout, flat_layout

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """State of K models: trained parameters flat [K, P], and what is not trained, each [K, ...], by name."""

    flat: Tensor
    fixed: Tensors


@dataclass(frozen=True, slots=True)
class StackedModel:
    """Runs K models through `torch.func.vmap`. template: any one of them, for its code alone."""

    template: nn.Module
    layout: FlatLayout
    fixed_names: tuple[str, ...]

    def stack(self, modules: list[nn.Module], device: str) -> Stack:
        """The state of the modules, on the device."""
        flat = self.layout.buffer(len(modules), "cpu")
        for row, module in zip(flat, modules, strict=True):
            self.layout.fill(row, module)
        states = [fixed_tensors(module) for module in modules]
        fixed = tuple(torch.stack([state[name] for state in states]).to(device) for name in self.fixed_names)
        return Stack(flat=flat.to(device), fixed=fixed)

    def forward(self, views: Tensors, fixed: Tensors, inputs: Tensor, *, training: bool) -> Tensor:
        """Outputs [K, B, ...] of inputs [K, B, ...], with parameters as `layout.views` gives them."""
        self.template.train(training)
        names = (*(piece.name for piece in self.layout.pieces), *self.fixed_names)

        def one(state: Tensors, batch: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self.template, dict(zip(names, state, strict=True)), (batch,))
            return outputs

        outputs: Tensor = vmap(one)((*views, *fixed), inputs)
        return outputs


def fixed_tensors(module: nn.Module) -> dict[str, Tensor]:
    """What of the module is not trained: buffers, and parameters that ask for no gradient."""
    frozen = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}
    return {**frozen, **dict(module.named_buffers())}


def stacked_model(template: nn.Module) -> StackedModel:
    """The batched form of models like `template`, which is kept and must stand on the device."""
    return StackedModel(template=template, layout=flat_layout(template), fixed_names=tuple(fixed_tensors(template)))
