"""Layers of K models with their own backward passes, without autograd.

Activations stand feature by feature, [K, features, rows]: the long dimension is the rows', a multiple of 32, so that
softmax, norms and bias sums run along vector registers, and a weight's gradient is a plain product. Each layer owns
its buffers. `backward` gets the gradient by its output, which it may overwrite, adds nothing to what it writes into the
parameters' gradients, and returns the gradient by its input where one is wanted.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from workers.learners.torch_activations import Derivative, Function, relu_gradient
from workers.learners.torch_alignment import SLICE_NUMBERS
from workers.learners.torch_dropout import CountedDropout, keep_mask

LARGE_PRODUCT: Final = 2**20
"""Numbers of a weight from which a loop over the models costs less than a copy of the gradient."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the layers of K models share: parameters and their gradients by name, each [K, ...], and shapes.

    keys: int32 [K, 1, 1] for each dropout layer, set before each step.
    """

    parameters: dict[str, Tensor]
    gradients: dict[str, Tensor]
    keys: list[Tensor]
    models: int
    rows: int
    like: Tensor

    def buffer(self, features: int) -> Tensor:
        """An activation's place, [K, features, rows]."""
        return self.like.new_empty(self.models, features, self.rows)


class BatchedLayer(Protocol):
    """One layer of K models."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [K, F', rows] of inputs [K, F, rows]."""
        ...

    def backward(self, towards: Tensor) -> Tensor | None:
        """Gradient by the inputs, None for the first layer, from the gradient by the outputs."""
        ...


class BatchedLinear:
    """y = W x + b as one batched product a pass."""

    def __init__(self, frame: Frame, name: str, layer: nn.Linear, *, first: bool) -> None:
        self._weight = frame.parameters[f"{name}.weight"]
        bias = frame.parameters.get(f"{name}.bias")
        self._bias = None if bias is None else bias.unsqueeze(2)
        self._weight_gradient = frame.gradients.get(f"{name}.weight")
        self._bias_gradient = frame.gradients.get(f"{name}.bias")
        self._outputs = frame.buffer(layer.out_features)
        wanted = bool(frame.gradients) and not first
        self._towards = frame.buffer(layer.in_features) if wanted else None
        self._product = self._product_buffer(frame, layer)
        self._inputs = self._outputs

    def _product_buffer(self, frame: Frame, layer: nn.Linear) -> Tensor | None:
        """A place for the weight's gradient that batched products can write whole, where that pays."""
        numbers = layer.in_features * layer.out_features
        if not frame.gradients or numbers % SLICE_NUMBERS or numbers * frame.rows >= LARGE_PRODUCT * 4:
            return None
        return frame.like.new_empty(frame.models, layer.out_features, layer.in_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """See `BatchedLayer`."""
        self._inputs = inputs
        if self._bias is None:
            return torch.bmm(self._weight, inputs, out=self._outputs)
        return torch.baddbmm(self._bias, self._weight, inputs, out=self._outputs)

    def backward(self, towards: Tensor) -> Tensor | None:
        """See `BatchedLayer`."""
        if self._bias_gradient is not None:
            torch.sum(towards, 2, out=self._bias_gradient)
        assert self._weight_gradient is not None, "training layers have gradients"
        if self._product is None:
            torch.bmm(towards, self._inputs.mT, out=self._weight_gradient)
        else:
            self._weight_gradient.copy_(torch.bmm(towards, self._inputs.mT, out=self._product))
        if self._towards is None:
            return None
        return torch.bmm(self._weight.mT, towards, out=self._towards)


class BatchedRelu:
    """max(x, 0), in place: the layer before must not need its outputs."""

    def __init__(self) -> None:
        self._outputs = torch.empty(0)

    def forward(self, inputs: Tensor) -> Tensor:
        """See `BatchedLayer`."""
        self._outputs = inputs.relu_()
        return self._outputs

    def backward(self, towards: Tensor) -> Tensor | None:
        """See `BatchedLayer`."""
        return relu_gradient(towards, self._outputs)


class BatchedActivation:
    """An elementwise function with its derivative: `derivative(towards, inputs, outputs)`."""

    def __init__(
        self,
        frame: Frame,
        features: int,
        function: Function,
        derivative: Derivative,
    ) -> None:
        self._function = function
        self._derivative = derivative
        self._inputs = self._outputs = frame.buffer(features)

    def forward(self, inputs: Tensor) -> Tensor:
        """See `BatchedLayer`."""
        self._inputs = inputs
        self._outputs = self._function(inputs)
        return self._outputs

    def backward(self, towards: Tensor) -> Tensor | None:
        """See `BatchedLayer`."""
        return self._derivative(towards, self._inputs, self._outputs)


class BatchedNorm:
    """LayerNorm (one group) or GroupNorm over the features of each row (Ba et al. 2016; Wu and He 2018)."""

    def __init__(self, frame: Frame, name: str, features: int, *, groups: int, eps: float) -> None:
        self._shape = (frame.models, groups, features // groups, frame.rows)
        self._eps = eps
        self._weight = frame.parameters.get(f"{name}.weight")
        self._bias = frame.parameters.get(f"{name}.bias")
        self._weight_gradient = frame.gradients.get(f"{name}.weight")
        self._bias_gradient = frame.gradients.get(f"{name}.bias")
        self._normed = frame.buffer(features)
        self._scale = frame.buffer(groups).view(frame.models, groups, 1, frame.rows)

    def forward(self, inputs: Tensor) -> Tensor:
        """See `BatchedLayer`."""
        parts = inputs.reshape(self._shape)
        centred = torch.sub(parts, parts.mean(2, keepdim=True), out=self._normed.view(self._shape))
        self._scale = centred.square().mean(2, keepdim=True).add_(self._eps).rsqrt_()
        outputs = centred.mul_(self._scale).view(inputs.shape)
        if self._weight is not None:
            outputs = outputs * self._weight.unsqueeze(2)
        return outputs.clone() if self._bias is None and self._weight is None else self._shifted(outputs)

    def _shifted(self, outputs: Tensor) -> Tensor:
        return outputs if self._bias is None else outputs.add_(self._bias.unsqueeze(2))

    def backward(self, towards: Tensor) -> Tensor | None:
        """See `BatchedLayer`."""
        if self._bias_gradient is not None:
            torch.sum(towards, 2, out=self._bias_gradient)
        if self._weight_gradient is not None and self._weight is not None:
            torch.sum(towards * self._normed, 2, out=self._weight_gradient)
            towards = towards.mul_(self._weight.unsqueeze(2))
        parts, normed = towards.view(self._shape), self._normed.view(self._shape)
        along = (parts * normed).mean(2, keepdim=True)
        parts.sub_(parts.mean(2, keepdim=True)).sub_(normed * along).mul_(self._scale)
        return towards


class BatchedDropout:
    """Dropout by counting (see torch_dropout); its key is set for each step in `Frame.keys`."""

    def __init__(self, frame: Frame, features: int, layer: CountedDropout) -> None:
        self._frame, self._p, self._number = frame, layer.p, layer.number
        rows = torch.arange(frame.rows, dtype=torch.int32, device=frame.like.device)
        each = torch.arange(features, dtype=torch.int32, device=frame.like.device)
        self._places = (rows[None] * features + each[:, None]).unsqueeze(0)
        self._mask = frame.buffer(features)

    def forward(self, inputs: Tensor) -> Tensor:
        """See `BatchedLayer`."""
        kept = keep_mask(self._places, self._frame.keys[self._number], self._p)
        self._mask.copy_(kept).mul_(1.0 / (1.0 - self._p))
        return inputs * self._mask

    def backward(self, towards: Tensor) -> Tensor | None:
        """See `BatchedLayer`."""
        return towards.mul_(self._mask)
