"""Where the parameters of K models lie in one buffer `[K, P]`.

Each parameter starts at a multiple of 64 bytes in each model's slice, and P is one too: elementwise operations then
treat every model's numbers with the same vector instructions, whatever K and the model's place.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

ALIGNMENT: Final = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """One parameter: its shape, where it starts in a slice, its dimensions from outermost to innermost in memory."""

    name: str
    shape: tuple[int, ...]
    start: int
    memory_order: tuple[int, ...]

    def view(self, flat: Tensor) -> Tensor:
        """The parameter of all models, [K, *shape], as a view of flat [K, P]."""
        count = math.prod(self.shape)
        stored = flat[:, self.start : self.start + count].view(-1, *(self.shape[d] for d in self.memory_order))
        places = [self.memory_order.index(d) + 1 for d in range(len(self.shape))]
        return stored.permute(0, *places)


@dataclass(frozen=True, slots=True)
class FlatLayout:
    """All trained parameters of a model, in a slice of P numbers of one type."""

    pieces: tuple[Piece, ...]
    width: int
    dtype: torch.dtype

    def buffer(self, models: int, device: str) -> Tensor:
        """Zeros [models, P]."""
        return torch.zeros(models, self.width, dtype=self.dtype, device=device)

    def views(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Each parameter of all models as a view of flat [K, P]."""
        return tuple(piece.view(flat) for piece in self.pieces)

    def fill(self, row: Tensor, module: nn.Module) -> None:
        """Copy a module's parameters into one model's slice [P]."""
        parameters = dict(module.named_parameters())
        for piece in self.pieces:
            piece.view(row.unsqueeze(0))[0].copy_(parameters[piece.name].detach())


def flat_layout(module: nn.Module, gradients: Iterable[Tensor | None] = ()) -> FlatLayout:
    """Layout of the module's trained parameters.

    gradients: one [K, *shape] a parameter, as autograd returned them; a parameter then lies in memory as its gradient
    does, which saves a transposition at each step (the weight of a linear layer is such a one).
    """
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    strides = [None if g is None else g.stride()[1:] for g in gradients] or [None] * len(trained)
    pieces: list[Piece] = []
    start = 0
    for (name, parameter), stride in zip(trained, strides, strict=True):
        numbers = ALIGNMENT // parameter.element_size()
        order = _memory_order(parameter, stride)
        pieces.append(Piece(name=name, shape=tuple(parameter.shape), start=start, memory_order=order))
        start += -(-parameter.numel() // numbers) * numbers
    dtype = trained[0][1].dtype if trained else torch.float32
    return FlatLayout(pieces=tuple(pieces), width=start, dtype=dtype)


def _memory_order(parameter: Tensor, stride: tuple[int, ...] | None) -> tuple[int, ...]:
    dimensions = range(parameter.ndim)
    if stride is None or 0 in stride:
        return tuple(dimensions)
    return tuple(sorted(dimensions, key=lambda d: -stride[d]))
