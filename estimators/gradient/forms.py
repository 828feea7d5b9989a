"""Per-instance gradients of one layer, in the form in which they are cheapest.

b instances, T positions (1 for a plain network), p_l parameters: the weight [dout, din] first, then the bias [dout].
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

PAIRS_AT_ONCE = 2**24
HALVES_AT_ONCE = 2**20
"""Numbers of a half-made contraction at once: they stay in the cache until the other half."""
GRAM_ROWS = 256
GRAM_FLOATS = 2**21


class LayerRows(Protocol):
    """Gradients of b instances in one layer."""

    def __len__(self) -> int:
        """Number of instances b."""
        ...

    def dense(self) -> Tensor:
        """The gradients written out, [b, p_l]."""
        ...

    def dot(self, other: "Self | Dense") -> Tensor:
        """Inner products [b, b'] with the gradients of other instances."""
        ...

    def held(self) -> "Self | Dense":
        """The same as many blocks will meet it: written out where `dot` would write it out for each of them."""
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

    def held(self) -> "Dense":
        """As it is."""
        return self

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
class Moments:
    """Float64 sums over instances and positions: slopes s s^T [dout, dout], inputs a a^T [din, din]; positions T."""

    slopes: Tensor
    inputs: Tensor
    positions: int

    def with_ones(self, total: Tensor, count: int) -> "Moments":
        """As if every input had a 1 appended. total: sum of inputs [din]; count: how many."""
        side = total.double()[:, None]
        below = torch.cat([side.T, side.new_full((1, 1), count)], dim=1)
        return replace(self, inputs=torch.cat([torch.cat([self.inputs, side], dim=1), below]))

    def plus(self, other: "Moments") -> "Moments":
        """Those of both."""
        return replace(self, slopes=self.slopes + other.slopes, inputs=self.inputs + other.inputs)


def gram(rows: Tensor) -> Tensor:
    """rows^T rows [d, d] of rows [m, d]: products of few rows in their own type, summed in float64.

    One float32 product over a hundred thousand rows would turn eigenvectors whose eigenvalues nearly coincide.
    """
    width = rows.shape[1]
    whole = len(rows) - len(rows) % GRAM_ROWS
    step = GRAM_ROWS * max(1, GRAM_FLOATS // width**2)
    total = (rows[whole:].T @ rows[whole:]).double()
    for at in range(0, whole, step):
        parts = rows[at : min(at + step, whole)].view(-1, GRAM_ROWS, width)
        total += (parts.transpose(1, 2) @ parts).sum(dim=0, dtype=torch.float64)
    return total


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

    def _by_ghosts(self, positions: int) -> bool:
        """Whether inner products with gradients of that many positions are cheaper than writing both out."""
        dout, din = self.shape
        pairs = self.inputs.shape[1] * positions
        return pairs == 1 or pairs * (din + dout) <= din * dout

    def dot(self, other: "Outer | Dense") -> Tensor:
        """By ghost products where T T' (din + dout) is at most din dout, else by one matrix product."""
        if isinstance(other, Dense):
            return self.dense() @ other.rows.T
        positions = other.inputs.shape[1]
        if not self._by_ghosts(positions):
            return self.dense() @ other.dense().T
        if self.inputs.shape[1] * positions == 1:
            return self._ghost_single(other)
        step = max(1, PAIRS_AT_ONCE // (self.inputs.shape[1] * positions * len(other)))
        return torch.cat([part.ghost(other) for part in self._parts(step)])

    def held(self) -> "Outer | Dense":
        """Written out where places are many."""
        return self if self._by_ghosts(self.inputs.shape[1]) else Dense(self.dense())

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
        if not self._by_ghosts(other.inputs.shape[1]):
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
        one, other = self.inputs[:, 0], self.slopes[:, 0]
        if dout > din:
            weights, one, other = weights.transpose(1, 2), other, one
        step = max(1, HALVES_AT_ONCE // other.numel())
        parts = (weights[at : at + step] for at in range(0, len(weights), step))
        found = torch.cat([_contracted(one, other, part) for part in parts], dim=1)
        return found + self.slopes[:, 0] @ vectors[:, count:].T if self.bias else found

    def mix(self, weights: Tensor) -> Tensor:
        """[k, p_l] by matrix products over instances and positions."""
        weighted = (weights[:, :, None, None] * self.slopes).flatten(1, 2)
        summed = (weighted.transpose(1, 2) @ self.inputs.flatten(0, 1)).flatten(1)
        return torch.cat([summed, weighted.sum(dim=1)], dim=1) if self.bias else summed

    def second_moments(self) -> Moments:
        """Sums over instances and positions."""
        inputs, slopes = self.inputs.flatten(0, 1), self.slopes.flatten(0, 1)
        moments = Moments(gram(slopes), gram(inputs), self.inputs.shape[1])
        return moments.with_ones(inputs.sum(dim=0, dtype=torch.float64), len(inputs)) if self.bias else moments

    def scaled(self, factors: Tensor) -> "Outer":
        """The slopes times factors."""
        return replace(self, slopes=self.slopes * factors[:, None, None])


def _contracted(one: Tensor, other: Tensor, matrices: Tensor) -> Tensor:
    """other_b . (matrices_m one_b), [b, m], by one product for all matrices [m, other, one]."""
    count, width, _ = matrices.shape
    halves = (one @ matrices.reshape(count * width, -1).T).view(len(one), count, width)
    return (halves * other[:, None]).sum(dim=2)
