"""Directions of one linear layer's weight, and the sums that products with a curvature leave there (`chain`)."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from estimators.gradient.curvature.rough import narrowed, product

NARROW = 32
"""Outputs below which matrix products are faster with the outputs as rows."""


@dataclass(slots=True)
class Moves:
    """k directions laid out for one product a block, and sums in the same layouts, float64 but for `part`.

    weight: the layer's own, [dout, din]. into: [din, k dout], with the bias as a last row. out_of: [dout, k din], empty
    of the first layer. part: of total, not yet settled. Operands in bfloat16 make rough products (`rough`).
    """

    count: int
    rough: bool
    weight: Tensor
    into: Tensor
    out_of: Tensor
    part: Tensor
    total: Tensor | None
    total_out_of: Tensor

    @classmethod
    def of(cls, layer: nn.Linear, weight: Tensor, bias: Tensor | None, *, first: bool, rough: bool) -> Self:
        """Of directions [k, dout, din] and [k, dout]."""
        count, dout, din = weight.shape
        into = weight.new_empty(din if bias is None else din + 1, count * dout)
        into[:din].copy_(weight.reshape(-1, din).T)
        if bias is not None:
            into[din] = bias.flatten()
        out_of = weight.new_empty(0) if first else weight.permute(1, 0, 2).flatten(1)
        return cls(
            count=count,
            rough=rough,
            weight=narrowed(layer.weight.detach(), rough=rough and dout >= NARROW),
            into=narrowed(into, rough=rough),
            out_of=narrowed(out_of, rough=rough),
            part=torch.zeros_like(into),
            total=None,
            total_out_of=torch.zeros_like(out_of, dtype=torch.float64),
        )

    def forwards(self, inputs: Tensor, live: Tensor | None) -> Tensor:
        """What the layer's outputs gain by the directions alone, [b, k, dout]."""
        into = self.into if live is None else self.into.index_select(0, live)
        return product(inputs, into).view(len(inputs), self.count, -1)

    def onwards(self, moved: Tensor) -> Tensor:
        """What the layer's outputs gain by derivatives of its inputs [b, k, din]."""
        if len(self.weight) >= NARROW:
            return product(moved, self.weight.T)
        return (self.weight @ moved.flatten(0, 1).T).T.view(*moved.shape[:2], -1)

    def backwards(self, slopes: Tensor) -> Tensor:
        """What the slopes of the layer's inputs gain by the directions alone, [b, k, din]."""
        return product(slopes, self.out_of).view(len(slopes), self.count, -1)

    def pulled(self, back: Tensor) -> Tensor:
        """What the slopes of the layer's inputs gain by derivatives of those of its outputs [b, k, dout]."""
        return product(back, self.weight)

    def add(self, inputs: Tensor, back: Tensor, live: Tensor | None) -> None:
        """Inputs times derivatives of slopes [b, k, dout]."""
        given = narrowed(back.flatten(1), rough=self.rough)
        if live is not None:
            self.part.index_add_(0, live, product(inputs.T, given))
        elif given.dtype == inputs.dtype:
            self.part.addmm_(inputs.T, given)
        else:
            self.part.add_(product(inputs.T, given))

    def add_crossed(self, slopes: Tensor, moved: Tensor) -> None:
        """Slopes times derivatives of inputs [b, k, din]."""
        self.total_out_of.add_(product(slopes.T, narrowed(moved.flatten(1), rough=self.rough)))

    def settle(self) -> None:
        """Takes what was added since into the float64 sum."""
        self.total = self.part.to(torch.float64, copy=True) if self.total is None else self.total.add_(self.part)
        self.part.zero_()

    def write(self, weight: Tensor, bias: Tensor | None, *, scale: float) -> None:
        """The sums times scale, to a weight's [k, dout, din] and a bias's [k, dout]."""
        self.settle()
        assert self.total is not None
        total = torch.mul(self.total, scale, out=self.part)
        count, dout, din = weight.shape
        turned = total.new_empty(count * dout, din).copy_(total[:din].T)
        weight.copy_(turned.view(weight.shape))
        if bias is not None:
            bias.copy_(total[din].view(bias.shape))
        if len(self.total_out_of):
            weight.add_(self.total_out_of.mul_(scale).view(dout, count, din).transpose(0, 1))
