"""Where the parameters of K models lie in one buffer `[K, P]`.

Each parameter starts at a multiple of 128 bytes in each model's slice, and P is one too: elementwise operations and
matrix products then treat every model's numbers with the same instructions, whatever K and the model's place.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.learners.torch_alignment import padded_numbers


@dataclass(frozen=True, slots=True)
class Piece:
    """One parameter: its shape, and where it starts in a model's slice."""

    name: str
    shape: tuple[int, ...]
    start: int

    def view(self, flat: Tensor) -> Tensor:
        """The parameter of all models, [K, *shape], as a view of flat [K, P]."""
        return flat[:, self.start : self.start + math.prod(self.shape)].view(-1, *self.shape)


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


def flat_layout(module: nn.Module) -> FlatLayout:
    """Layout of the module's trained parameters, in their own order."""
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    pieces: list[Piece] = []
    start = 0
    for name, parameter in trained:
        pieces.append(Piece(name=name, shape=tuple(parameter.shape), start=start))
        start += padded_numbers(parameter.numel())
    return FlatLayout(pieces=tuple(pieces), width=start, dtype=trained[0][1].dtype)
