"""Data as read, before it is checked and turned into what learners see; the same whatever it was read from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from estimators.arrays import AnyArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class RawPart:
    """A training or test set as its source gives it.

    source: how messages name it. features: [rows, ...] array, or a frame whose columns are features. labels: [rows].
    ids, weights, groups: [rows] or None. extras: named arrays beside them (known label errors), [rows] each.
    frame: the whole table with all its columns, for reports.
    """

    source: str
    features: "AnyArray | pd.DataFrame"
    labels: AnyArray
    ids: AnyArray | None = None
    weights: AnyArray | None = None
    groups: AnyArray | None = None
    extras: Mapping[str, AnyArray] = field(default_factory=dict)
    frame: "pd.DataFrame | None" = None

    @property
    def rows(self) -> int:
        """Number of labels."""
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class RawData:
    """A training and a test set, and how to draw a row of features in a report."""

    train: RawPart
    test: RawPart
    image_shape: tuple[int, ...] | None = None
