"""Rows that an estimator has to see together: different subsets, each once, with its mean loss and its unit."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.retrains import Retrains


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Rows in plan order. members [k, n], losses [k, c] float64, units [k] numbered 0, 1, ... without gaps."""

    members: BoolArray
    losses: FloatArray
    units: IntArray

    @property
    def unit_count(self) -> int:
        """Number of units."""
        return int(self.units[-1]) + 1 if len(self.units) else 0


def no_rows(n: int, columns: int) -> KeptRows:
    """No rows of n instances and `columns` columns."""
    return KeptRows(np.zeros((0, n), dtype=np.bool_), np.zeros((0, columns)), np.zeros(0, dtype=np.int64))


def kept(retrains: Retrains, losses: FloatArray) -> KeptRows:
    """The rows of a block with their columns of losses."""
    rows = len(retrains.members)
    units = np.arange(rows) if retrains.units is None else np.unique(retrains.units, return_inverse=True)[1]
    return KeptRows(retrains.members, losses, units.astype(np.int64))


def both(a: KeptRows, b: KeptRows) -> KeptRows:
    """The rows of a, then those of b; units are never shared between the two."""
    return KeptRows(
        np.concatenate([a.members, b.members]),
        np.concatenate([a.losses, b.losses]),
        np.concatenate([a.units, b.units + a.unit_count]),
    )


def split(rows: KeptRows, units: int) -> tuple[KeptRows, KeptRows]:
    """The first `units` units, and the others."""
    cut = int(np.searchsorted(rows.units, units))
    first = KeptRows(rows.members[:cut], rows.losses[:cut], rows.units[:cut])
    return first, KeptRows(rows.members[cut:], rows.losses[cut:], rows.units[cut:] - units)


def distinct(rows: KeptRows) -> KeptRows:
    """Each subset once, in an order that depends on the subsets alone, with the mean of its losses.

    A subset met in several units is a unit of its own, so that the order of the units does not matter.
    """
    packed = np.packbits(rows.members, axis=1)
    _, first, place = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    place = place.ravel()
    counts = np.bincount(place, minlength=len(first))
    if (counts == 1).all():
        return KeptRows(rows.members[first], rows.losses[first], rows.units[first])
    order = np.argsort(place, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    losses = np.add.reduceat(rows.losses[order], starts, axis=0) / counts[:, None]
    lowest, highest = (each.reduceat(rows.units[order], starts) for each in (np.minimum, np.maximum))
    units = np.where(lowest == highest, lowest, rows.unit_count + np.arange(len(first)))
    return KeptRows(rows.members[first], losses, units)
