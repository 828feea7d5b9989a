"""An embedding's per-instance gradients: few rows of a large table."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from estimators.gradient.forms import PAIRS_AT_ONCE, Dense


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

    def dot(self, other: "Tokens | Dense") -> Tensor:
        """Sum over t, t' of [same token] s_t . s_t'."""
        if isinstance(other, Dense):
            return self.times(other.rows)
        positions = self.ids.shape[1] * other.ids.shape[1]
        step = max(1, PAIRS_AT_ONCE // (positions * len(other)))
        return torch.cat([self._ghost(other, slice(at, at + step)) for at in range(0, len(self), step)])

    def held(self) -> "Tokens":
        """As it is: tables are large and mostly zero."""
        return self

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
