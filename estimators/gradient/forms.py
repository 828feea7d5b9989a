"""Per-instance gradients of one layer, in the form in which they are cheapest.

b instances, T positions (1 for a plain network), p_l parameters: the weight [dout, din] first, then the bias [dout].
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

PAIRS_AT_ONCE = 2**24


class LayerRows(Protocol):
    """Gradients of b instances in one layer."""

    def __len__(self) -> int:
        """Number of instances b."""
        ...

    def dense(self) -> Tensor:
        """The gradients written out, [b, p_l]."""
        ...

    def dot(self, other: Self) -> Tensor:
        """Inner products [b, b'] with the gradients of other instances."""
        ...

    def row_dot(self, other: Self) -> Tensor:
        """Inner products [b], instance by instance."""
        ...

    def times(self, vectors: Tensor) -> Tensor:
        """Inner products [b, m] with vectors [m, p_l]."""
        ...

    def mix(self, weights: Tensor) -> Tensor:
        """Weighted sums [k, p_l] over instances, weights [k, b]."""
        ...

    def scaled(self, factors: Tensor) -> Self:
        """Each instance's gradient times its factor, factors [b]."""
        ...


@dataclass(frozen=True, slots=True)
class Dense:
    """Gradients written out, [b, p_l]."""

    rows: Tensor

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.rows)

    def dense(self) -> Tensor:
        """The rows."""
        return self.rows

    def dot(self, other: "Dense") -> Tensor:
        """One matrix product."""
        return self.rows @ other.rows.T

    def row_dot(self, other: "Dense") -> Tensor:
        """Row by row."""
        return (self.rows * other.rows).sum(dim=1)

    def times(self, vectors: Tensor) -> Tensor:
        """One matrix product."""
        return self.rows @ vectors.T

    def mix(self, weights: Tensor) -> Tensor:
        """One matrix product."""
        return weights @ self.rows

    def scaled(self, factors: Tensor) -> "Dense":
        """Rows times factors."""
        return Dense(self.rows * factors[:, None])


@dataclass(frozen=True, slots=True)
class Outer:
    """A linear layer's gradients sum_t s_t a_t^T: inputs a [b, T, din], output gradients s [b, T, dout].

    Inner products come from those of a and of s (ghost products) where that is cheaper than writing gradients out.
    """

    inputs: Tensor
    slopes: Tensor
    bias: bool

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.inputs)

    @property
    def shape(self) -> tuple[int, int]:
        """Dout and din."""
        return self.slopes.shape[2], self.inputs.shape[2]

    def weight_rows(self) -> Tensor:
        """The weight's gradients [b, dout, din]."""
        if self.inputs.shape[1] == 1:
            return self.slopes[:, 0, :, None] * self.inputs[:, 0, None, :]
        return self.slopes.transpose(1, 2) @ self.inputs

    def dense(self) -> Tensor:
        """Written out."""
        weight = self.weight_rows().flatten(1)
        return torch.cat([weight, self.slopes.sum(dim=1)], dim=1) if self.bias else weight

    def dot(self, other: "Outer") -> Tensor:
        """By ghost products where T T' (din + dout) is at most din dout, else by one matrix product."""
        dout, din = self.shape
        positions = self.inputs.shape[1] * other.inputs.shape[1]
        if positions > 1 and positions * (din + dout) > din * dout:
            return self.dense() @ other.dense().T
        if positions == 1:
            return self._ghost_single(other)
        step = max(1, PAIRS_AT_ONCE // (positions * len(other)))
        return torch.cat([part.ghost(other) for part in self._parts(step)])

    def _ghost_single(self, other: "Outer") -> Tensor:
        inputs = self.inputs[:, 0] @ other.inputs[:, 0].T
        if self.bias:
            inputs += 1
        return inputs.mul_(self.slopes[:, 0] @ other.slopes[:, 0].T)

    def ghost(self, other: "Outer") -> Tensor:
        """Sum over t, t' of (a_t . a_t' + 1 with a bias) (s_t . s_t')."""
        inputs = self.inputs.flatten(0, 1) @ other.inputs.flatten(0, 1).T
        if self.bias:
            inputs += 1
        inputs *= self.slopes.flatten(0, 1) @ other.slopes.flatten(0, 1).T
        shape = (len(self), self.inputs.shape[1], len(other), other.inputs.shape[1])
        return inputs.view(shape).sum(dim=(1, 3))

    def _parts(self, step: int) -> Iterator["Outer"]:
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            yield Outer(self.inputs[part], self.slopes[part], self.bias)

    def row_dot(self, other: "Outer") -> Tensor:
        """Ghost products or written out, instance by instance."""
        dout, din = self.shape
        positions = self.inputs.shape[1] * other.inputs.shape[1]
        if positions > 1 and positions * (din + dout) > din * dout:
            return (self.dense() * other.dense()).sum(dim=1)
        inputs = self.inputs @ other.inputs.transpose(1, 2)
        if self.bias:
            inputs += 1
        return (inputs * (self.slopes @ other.slopes.transpose(1, 2))).sum(dim=(1, 2))

    def times(self, vectors: Tensor) -> Tensor:
        """Contracted with the side that leaves the smaller array, or written out where that is smaller still."""
        dout, din = self.shape
        count = dout * din
        if self.inputs.shape[1] > 1 or len(vectors) * min(dout, din) > count:
            return self.dense() @ vectors.T
        weights = vectors[:, :count].view(-1, dout, din)
        if dout <= din:
            halves = self.inputs[:, 0] @ weights.transpose(1, 2)
            found = torch.einsum("mbo,bo->bm", halves, self.slopes[:, 0])
        else:
            halves = self.slopes[:, 0] @ weights
            found = torch.einsum("mbi,bi->bm", halves, self.inputs[:, 0])
        return found + self.slopes[:, 0] @ vectors[:, count:].T if self.bias else found

    def mix(self, weights: Tensor) -> Tensor:
        """[k, p_l] by matrix products over instances and positions."""
        weighted = (weights[:, :, None, None] * self.slopes).flatten(1, 2)
        summed = (weighted.transpose(1, 2) @ self.inputs.flatten(0, 1)).flatten(1)
        return torch.cat([summed, weighted.sum(dim=1)], dim=1) if self.bias else summed

    def scaled(self, factors: Tensor) -> "Outer":
        """The slopes times factors."""
        return replace(self, slopes=self.slopes * factors[:, None, None])


@dataclass(frozen=True, slots=True)
class Tokens:
    """An embedding's gradients: row ids_t of the table gets s_t. ids: [b, T]; slopes: [b, T, d]; table: its rows."""

    ids: Tensor
    slopes: Tensor
    table: int

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.ids)

    def dense(self) -> Tensor:
        """Written out, [b, table d]."""
        rows = self.slopes.new_zeros(len(self), self.table, self.slopes.shape[2])
        index = self.ids[:, :, None].expand_as(self.slopes)
        return rows.scatter_add_(1, index, self.slopes).flatten(1)

    def dot(self, other: "Tokens") -> Tensor:
        """Sum over t, t' of [same token] s_t . s_t'."""
        positions = self.ids.shape[1] * other.ids.shape[1]
        step = max(1, PAIRS_AT_ONCE // (positions * len(other)))
        return torch.cat([self._ghost(other, slice(at, at + step)) for at in range(0, len(self), step)])

    def _ghost(self, other: "Tokens", part: slice) -> Tensor:
        products = self.slopes[part].flatten(0, 1) @ other.slopes.flatten(0, 1).T
        same = self.ids[part].flatten()[:, None] == other.ids.flatten()
        shape = (-1, self.ids.shape[1], len(other), other.ids.shape[1])
        return (products * same).view(shape).sum(dim=(1, 3))

    def row_dot(self, other: "Tokens") -> Tensor:
        """The same, instance by instance."""
        same = self.ids[:, :, None] == other.ids[:, None, :]
        return (same * (self.slopes @ other.slopes.transpose(1, 2))).sum(dim=(1, 2))

    def times(self, vectors: Tensor) -> Tensor:
        """Only the table's rows that occur are read."""
        tables = vectors.view(len(vectors), self.table, -1)
        return torch.stack([(table[self.ids] * self.slopes).sum(dim=(1, 2)) for table in tables], dim=1)

    def mix(self, weights: Tensor) -> Tensor:
        """Sums into the table, one a row of weights."""
        ids, width = self.ids.flatten(), self.slopes.shape[2]
        sums = self.slopes.new_zeros(len(weights), self.table, width)
        for total, row in zip(sums, weights, strict=True):
            total.index_add_(0, ids, (row[:, None, None] * self.slopes).flatten(0, 1))
        return sums.flatten(1)

    def scaled(self, factors: Tensor) -> "Tokens":
        """The slopes times factors."""
        return replace(self, slopes=self.slopes * factors[:, None, None])

    def strongest(self, count: int) -> "Tokens":
        """Each instance's `count` tokens with the largest summed gradients (Yeh et al. 2022, TracIn-WE-Topk)."""
        ids, sums = self._merged()
        kept = min(count, ids.shape[1])
        top = sums.norm(dim=2).topk(kept, dim=1).indices
        return Tokens(ids.gather(1, top), sums.gather(1, top[:, :, None].expand(-1, -1, sums.shape[2])), self.table)

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Each token once an instance, with its summed gradient; places left over have a zero gradient."""
        order = self.ids.argsort(dim=1, stable=True)
        ids = self.ids.gather(1, order)
        slopes = self.slopes.gather(1, order[:, :, None].expand_as(self.slopes))
        fresh = torch.ones_like(ids, dtype=torch.bool)
        fresh[:, 1:] = ids[:, 1:] != ids[:, :-1]
        place = fresh.cumsum(dim=1) - 1
        sums = torch.zeros_like(slopes).scatter_add_(1, place[:, :, None].expand_as(slopes), slopes)
        return torch.zeros_like(ids).scatter_(1, place, ids), sums
