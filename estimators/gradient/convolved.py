"""A convolution's per-instance gradients, from whole images until patches are needed."""

from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from estimators.gradient.forms import Dense, Moments, Outer, gram

MANY_PLACES = 128
AT_ONCE = 64
"""Instances written out at once: their images and slopes, laid out anew, stay in the cache."""
SMALL_WEIGHT = 2**14


@dataclass(frozen=True, slots=True)
class Convolved:
    """Gradients of a convolution's weight [dout, channels / groups, *kernel] and bias.

    images: what the kernel runs over, padded, [b, channels, *sizes]. slopes: [b, dout, *places]. Written out by one
    grouped convolution over all instances where that is cheaper than products over patches.
    """

    images: Tensor
    slopes: Tensor
    shape: torch.Size
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: bool

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.images)

    @property
    def places(self) -> int:
        """T, places of the kernel."""
        return prod(self.slopes.shape[2:])

    def outer(self) -> Outer:
        """The same as sums over places of outer products, with patches [b, T, channels times kernel]; no groups."""
        windows = self._windows()
        patches = windows.movedim(1, 1 + len(self.stride)).reshape(len(self), self.places, -1)
        return Outer(patches, self.slopes.flatten(2).transpose(1, 2), self.bias)

    def _windows(self) -> Tensor:
        """What each place of the kernel sees, [b, channels, *places, *kernel] (a view)."""
        given = self.images
        for axis, (size, stride, gap) in enumerate(zip(self.shape[2:], self.stride, self.dilation, strict=True), 2):
            given = given.unfold(axis, (size - 1) * gap + 1, stride)[..., ::gap]
        return given

    def second_moments(self) -> Moments:
        """Sums over instances and places; no groups. Patches list channels last, as images lie in memory."""
        patches = self._windows().movedim(1, -1).reshape(len(self) * self.places, -1)
        kernel, channels = prod(self.shape[2:]), self.shape[1]
        square = gram(patches).view(kernel, channels, kernel, channels).permute(1, 0, 3, 2)
        total = patches.sum(dim=0, dtype=torch.float64).view(kernel, channels).T
        slopes = self.slopes.movedim(1, -1).reshape(len(patches), -1)
        moments = Moments(gram(slopes), square.reshape(kernel * channels, -1), self.places)
        return moments.with_ones(total.flatten(), len(patches)) if self.bias else moments

    def dense(self) -> Tensor:
        """Written out, [b, p_l]."""
        if self.groups == 1 and not self._grouped():
            return self.outer().dense()
        if self.images.device.type != "cpu":
            return self.written()
        return torch.cat([self._part(slice(at, at + AT_ONCE)).written() for at in range(0, len(self), AT_ONCE)])

    def _part(self, rows: slice) -> "Convolved":
        return replace(self, images=self.images[rows], slopes=self.slopes[rows])

    def written(self) -> Tensor:
        """The same, all instances at once, without patches of many channels."""
        slopes = self.slopes.flatten(2)
        single = self.shape[1] == self.groups == 1
        weight = self._by_patches(slopes) if single else self._by_convolution().view(len(self), -1)
        return torch.cat([weight, slopes.sum(dim=2)], dim=1) if self.bias else weight

    def _by_patches(self, slopes: Tensor) -> Tensor:
        """One product an instance with the patches of a single channel, [b, dout kernel]."""
        windows, axes = self._windows()[:, 0], len(self.stride)
        order = (0, *range(1 + axes, 1 + 2 * axes), *range(1, 1 + axes))
        patches = windows.permute(order).reshape(len(self), -1, self.places)
        return (slopes.contiguous() @ patches.transpose(1, 2)).flatten(1)

    def _grouped(self) -> bool:
        if self.images.device.type != "cpu" or self.images.dtype == torch.float64:
            return False
        return self.places >= MANY_PLACES or prod(self.shape) <= SMALL_WEIGHT

    def _by_convolution(self) -> Tensor:
        """Every instance a group of its own in one backward convolution, [b dout, channels / groups, *kernel]."""
        count = len(self)
        images = self.images.reshape(1, -1, *self.images.shape[2:])
        slopes = self.slopes.reshape(1, -1, *self.slopes.shape[2:])
        weight = images.new_empty(count * self.shape[0], *self.shape[1:])
        none = [0] * len(self.stride)
        transposed, only_weight = False, [False, True, False]
        found = torch.ops.aten.convolution_backward(
            slopes,
            images,
            weight,
            None,
            self.stride,
            none,
            self.dilation,
            transposed,
            none,
            count * self.groups,
            only_weight,
        )
        rows: Tensor = found[1]
        return rows

    def _by_ghosts(self, places: int) -> bool:
        din = prod(self.shape[1:])
        return self.groups == 1 and self.places * places * (self.shape[0] + din) <= self.shape[0] * din

    def dot(self, other: "Convolved | Dense") -> Tensor:
        """By ghost products of patches where places are few, else by one matrix product."""
        if isinstance(other, Dense):
            return self.dense() @ other.rows.T
        if self._by_ghosts(other.places):
            return self.outer().dot(other.outer())
        return self.dense() @ other.dense().T

    def held(self) -> "Convolved | Dense":
        """Written out where places are many."""
        return self if self._by_ghosts(self.places) else Dense(self.dense())

    def row_dot(self, other: "Convolved") -> Tensor:
        """The same, instance by instance."""
        if self._by_ghosts(other.places):
            return self.outer().row_dot(other.outer())
        mine = self.dense()
        return (mine * (mine if other is self else other.dense())).sum(dim=1)

    def times(self, vectors: Tensor) -> Tensor:
        """One matrix product."""
        return self.dense() @ vectors.T

    def mix(self, weights: Tensor) -> Tensor:
        """One matrix product."""
        return weights @ self.dense()

    def scaled(self, factors: Tensor) -> "Convolved":
        """The slopes times factors."""
        return replace(self, slopes=self.slopes * factors.view(-1, *[1] * (self.slopes.ndim - 1)))
