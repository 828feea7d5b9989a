"""A chain of layers of K models, run by hand: stacked parameters, batched products, no autograd."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.learners.torch_activations import activation_of
from workers.learners.torch_batched import Gradients
from workers.learners.torch_chain import Cast, Link, NotAChainError, Squeeze, chain_of
from workers.learners.torch_chain_layers import (
    BatchedActivation,
    BatchedDropout,
    BatchedLayer,
    BatchedLinear,
    BatchedNorm,
    BatchedRelu,
    Frame,
)
from workers.learners.torch_dropout import CountedDropout
from workers.learners.torch_layout import FlatLayout, flat_layout
from workers.learners.torch_state import Tensors

KEEPS_NO_OUTPUTS = (BatchedLinear, BatchedNorm)
INPUT_LINKS = (Cast, nn.Flatten, nn.Identity)


@dataclass(frozen=True, slots=True)
class ChainModel:
    """K models of one class as a chain of batched layers. features: of one instance's input, flat."""

    layout: FlatLayout
    links: tuple[Link, ...]
    features: int
    dropouts: int
    fixed_names: tuple[str, ...] = ()

    def gradients(self, flat: Tensor, fixed: Tensors, towards: Tensor, *, rows: int) -> "ChainGradients":
        """A training step's gradients for parameters flat [K, P], written into `towards` [K, P]."""
        del fixed
        return ChainGradients(self, flat, towards, rows)

    def outputs(self, flat: Tensor, fixed: Tensors, *, rows: int) -> "ChainOutputs":
        """Evaluation of K models on `rows` instances that they share."""
        del fixed
        return ChainOutputs(self, flat, rows)

    def layers(self, frame: Frame) -> list[BatchedLayer]:
        """The layers, bound to parameters and buffers."""
        layers: list[BatchedLayer] = []
        features = self.features
        for link in self.links:
            layer = _bound(link, frame, features, layers)
            if layer is not None:
                layers.append(layer)
            features = link.layer.out_features if isinstance(link.layer, nn.Linear) else features
        return layers

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Each parameter of all models, [K, ...], as a view of flat [K, P]."""
        return {piece.name: piece.view(flat) for piece in self.layout.pieces}


def _bound(link: Link, frame: Frame, features: int, before: list[BatchedLayer]) -> BatchedLayer | None:
    layer = link.layer
    if isinstance(layer, nn.Linear):
        return BatchedLinear(frame, link.name, layer, first=not before)
    if isinstance(layer, CountedDropout):
        return BatchedDropout(frame, features, layer) if frame.gradients and layer.p > 0 else None
    if isinstance(layer, (nn.LayerNorm, nn.GroupNorm)):
        groups = layer.num_groups if isinstance(layer, nn.GroupNorm) else 1
        return BatchedNorm(frame, link.name, features, groups=groups, eps=layer.eps)
    if type(layer) is nn.ReLU and before and isinstance(before[-1], KEEPS_NO_OUTPUTS):
        return BatchedRelu()
    found = activation_of(layer)
    return None if found is None else BatchedActivation(frame, features, *found)


class ChainGradients:
    """Forward and backward of K models on batches [K, rows, ...] of their own."""

    def __init__(self, model: ChainModel, flat: Tensor, towards: Tensor, rows: int) -> None:
        keys = [torch.zeros(len(flat), 1, 1, dtype=torch.int32, device=flat.device) for _ in range(model.dropouts)]
        self._frame = Frame(model.named(flat), model.named(towards), keys, len(flat), rows, flat)
        self._layers = model.layers(self._frame)
        self._shape = (len(flat), rows, model.features)

    def set_keys(self, keys: list[Tensor]) -> None:
        """Keys [K] int32 of this step, one tensor a dropout layer."""
        for own, key in zip(self._frame.keys, keys, strict=True):
            own.copy_(key.view(-1, 1, 1))

    def run(self, inputs: Tensor, output_gradient: "Gradients") -> None:
        """Write the gradients; output_gradient: the loss's gradient [K, C, rows] from outputs [K, C, rows]."""
        current = inputs.view(self._shape).to(self._frame.like.dtype).mT
        for layer in self._layers:
            current = layer.forward(current)
        towards: Tensor | None = output_gradient(current)
        for layer in reversed(self._layers):
            assert towards is not None, "only the first layer gives no gradient"
            towards = layer.backward(towards)


class ChainOutputs:
    """Outputs of K models on instances that they share."""

    def __init__(self, model: ChainModel, flat: Tensor, rows: int) -> None:
        self._frame = Frame(model.named(flat), {}, [], len(flat), rows, flat)
        self._layers = model.layers(self._frame)
        self._shape = (rows, model.features)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs [K, C, rows] of inputs [rows, ...]; overwritten by the next call."""
        shared = inputs.reshape(self._shape).to(self._frame.like.dtype)
        current = shared.expand(self._frame.models, *self._shape).mT
        for layer in self._layers:
            current = layer.forward(current)
        return current


def chain_model(module: nn.Module, example: Tensor, fixed_names: tuple[str, ...]) -> ChainModel:
    """The module as a chain of layers that have a hand-written form, for instances like example [1, ...].

    Raises:
        NotAChainError: it is none, and why.
    """
    links = chain_of(module.train())
    if [type(link.layer) for link in chain_of(module.eval())] != [type(link.layer) for link in links]:
        raise NotAChainError("it does other things in training than in evaluation")
    module.train()
    links = _checked(links, example)
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    used = [f"{link.name}.{name}" for link in links if link.name for name, _ in link.layer.named_parameters()]
    layout = flat_layout(module)
    if sorted(names) != sorted(used) or sorted(used) != sorted(piece.name for piece in layout.pieces):
        raise NotAChainError("it has parameters that are shared, frozen, or used outside of its layers")
    dropouts = [link.layer for link in links if isinstance(link.layer, CountedDropout)]
    if any(not name.endswith("dropout_key") for name in fixed_names):
        raise NotAChainError("it has buffers")
    if [layer.number for layer in dropouts] != list(range(len(dropouts))):
        raise NotAChainError("it uses a dropout layer twice, or in another order")
    return ChainModel(layout, links, math.prod(example.shape[1:]), len(dropouts))


def _checked(links: tuple[Link, ...], example: Tensor) -> tuple[Link, ...]:
    """The links, each of a kind that is written by hand, on flat features; raises NotAChainError."""
    kept: list[Link] = []
    flat = example.ndim == 2
    for place, link in enumerate(links):
        layer = link.layer
        if type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
            flat = True
        elif type(layer) is Squeeze and place != len(links) - 1:
            raise NotAChainError("it drops a dimension in its middle")
        elif type(layer) in {nn.Linear, CountedDropout, nn.GroupNorm} or _is_plain_norm(layer) or activation_of(layer):
            if not flat:
                raise NotAChainError(f"{type(layer).__name__} works on instances of several dimensions")
            kept.append(link)
        elif type(layer) not in {Cast, nn.Identity, Squeeze}:
            raise NotAChainError(f"{type(layer).__name__} has no hand-written form")
    if not any(isinstance(link.layer, nn.Linear) for link in kept):
        raise NotAChainError("it has no linear layer")
    return tuple(kept)


def _is_plain_norm(layer: nn.Module) -> bool:
    return type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1
