"""Rows of one version of a training set as rows of another: places of instances change, instances do not."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, ByteArray, Float32Array, IntArray
from estimators.subsets import pack, unpack


@dataclass(frozen=True, slots=True)
class Moved:
    """positions: [n_then], where each instance stands now, -1 where it is gone. n: instances now."""

    positions: IntArray
    n: int

    @property
    def has_all(self) -> bool:
        """Whether every instance of now was there then."""
        return int((self.positions >= 0).sum()) == self.n

    @property
    def n_then(self) -> int:
        """Instances then."""
        return len(self.positions)

    def members(self, packed: ByteArray) -> ByteArray:
        """Packed members [K, ceil(n/8)] of packed members [K, ceil(n_then/8)]; instances that are gone are left out."""
        return pack(moved_members(unpack(packed, self.n_then), self.positions, self.n))

    def losses(self, then: Float32Array) -> Float32Array:
        """Losses on the training instances, [K, n] of [K, n_then]; NaN on those that are new."""
        there = self.positions >= 0
        now = np.full((len(then), self.n), np.nan, dtype=np.float32)
        now[:, self.positions[there]] = then[:, there]
        return now


def positions_in(now: ByteArray, then: ByteArray) -> IntArray:
    """Where each identity of `then` [n_then, 16] stands in `now` [n, 16]; -1 where it is gone."""
    places = {identity.tobytes(): place for place, identity in enumerate(now)}
    return np.array([places.get(identity.tobytes(), -1) for identity in then], dtype=np.int64)


def moved_members(members: BoolArray, positions: IntArray, n: int) -> BoolArray:
    """Members [K, n_then] as members [K, n]; instances that are gone are left out."""
    there = positions >= 0
    out = np.zeros((len(members), n), dtype=np.bool_)
    out[:, positions[there]] = members[:, there]
    return out
