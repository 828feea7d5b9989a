"""How one instance is shown: as a picture, as a row of its table, or by its place and label alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from estimators.arrays import AnyArray, IntArray
from orchestrator.report.contents import ReportInput
from orchestrator.report.phrases import count, fixed, shorten
from orchestrator.report.pictures import Drawing, drawing_of

Kind = Literal["pictures", "rows", "plain"]
COLUMNS_SHOWN = 12
_CELL = 24


@dataclass(frozen=True, slots=True)
class Shown:
    """One instance. place: "#12". name: for people, may be empty. cells: the table's columns shown."""

    place: str
    name: str
    label: str
    picture: str
    cells: tuple[str, ...]
    known_error: bool | None = None

    @property
    def title(self) -> str:
        """The place, with the name where there is one."""
        return f"{self.place} {self.name}" if self.name else self.place


class Instances:
    """The training and test instances of a report, ready to be shown one by one."""

    def __init__(self, contents: ReportInput, *, pictures: int) -> None:
        data = contents.dataset
        self._contents = contents
        self._drawing = drawing_of(data.train_features, contents.image_shape, pictures=pictures)
        self._first_rows = _first_rows(data.groups, data.n)
        self._frames = _frames(contents) if self._drawing is None else None
        self.columns: tuple[str, ...] = ()
        self.columns_left_out = 0
        self._places: tuple[int, ...] = ()
        self._label_places = _places(pd.Series(data.train_labels))
        if self._frames is not None:
            names = [str(name) for name in self._frames[0].columns]
            self.columns = tuple(shorten(name, _CELL) for name in names[:COLUMNS_SHOWN])
            self.columns_left_out = max(0, len(names) - COLUMNS_SHOWN)
            self._places = tuple(_places(self._frames[0].iloc[:, k]) for k in range(len(self.columns)))

    @property
    def kind(self) -> Kind:
        """What is there to show of an instance."""
        if self._drawing is not None:
            return "pictures"
        return "rows" if self.columns else "plain"

    @property
    def drawing(self) -> Drawing | None:
        """How pictures are drawn, or None."""
        return self._drawing

    def train(self, player: int) -> Shown:
        """Training instance (or group) `player`; of a group, its first row."""
        data, known = self._contents.dataset, self._contents.known_label_errors
        row = int(self._first_rows[player])
        return Shown(
            place=f"#{player}",
            name=name_of(player_names(self._contents), player),
            label=self._train_label(player, row),
            picture=self._picture(data.train_features, row),
            cells=self._cells(0, row),
            known_error=None if known is None else bool(known[player]),
        )

    def test(self, j: int) -> Shown:
        """Test instance `j`."""
        data = self._contents.dataset
        return Shown(
            place=f"test #{j}",
            name=name_of(self._contents.test_names, j),
            label=self._label(data.test_labels[j]),
            picture=self._picture(data.test_features, j),
            cells=self._cells(1, j),
        )

    def _train_label(self, player: int, row: int) -> str:
        data = self._contents.dataset
        label = self._label(data.train_labels[row])
        if data.groups is None:
            return label
        rows = int(np.count_nonzero(data.groups == player))
        return label if rows == 1 else f"{label} (first of {count(rows)} rows)"

    def _label(self, label: float) -> str:
        classes = self._contents.dataset.classes
        if self._contents.dataset.task == "regression":
            return fixed(float(label), self._label_places)
        return shorten(classes[int(label)], 40) if 0 <= int(label) < len(classes) else str(int(label))

    def _picture(self, features: AnyArray, row: int) -> str:
        return self._drawing.uri(features[row]) if self._drawing is not None else ""

    def _cells(self, frame: int, row: int) -> tuple[str, ...]:
        if self._frames is None:
            return ()
        values = self._frames[frame].iloc[row, :COLUMNS_SHOWN]
        return tuple(_cell(value, places) for value, places in zip(values, self._places, strict=True))


def _first_rows(groups: IntArray | None, n: int) -> IntArray:
    if groups is None:
        return np.arange(n, dtype=np.int64)
    players, first = np.unique(groups, return_index=True)
    rows = np.zeros(n, dtype=np.int64)
    rows[players] = first
    return rows


def _frames(contents: ReportInput) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The tables of training rows and test instances, from the originals or from named features."""
    data, train, test = contents.dataset, contents.train_frame, contents.test_frame
    if train is not None and test is not None and len(train) == data.rows and len(test) == data.n_test:
        return train, test.reindex(columns=train.columns)
    if data.feature_names and data.train_features.ndim == 2 == data.test_features.ndim:
        names = list(data.feature_names)
        if len(names) == data.train_features.shape[1]:
            return pd.DataFrame(data.train_features, columns=names), pd.DataFrame(data.test_features, columns=names)
    return None


def player_names(contents: ReportInput) -> Sequence[str]:
    """Names of training instances, or of groups where they are the players."""
    data = contents.dataset
    return data.group_names if data.groups is not None else contents.train_names


def name_of(names: Sequence[str], position: int) -> str:
    """The name at a position, empty where it is missing or says no more than the position."""
    name = str(names[position]) if position < len(names) else ""
    return "" if name == str(position) else shorten(name, 40)


def _places(column: pd.Series) -> int:
    """Decimal places that give a column's usual numbers four digits, the same in every row."""
    if not pd.api.types.is_float_dtype(column.dtype):
        return 0
    sizes = np.abs(column.to_numpy(dtype=np.float64))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not sizes.size or bool(np.all(sizes == np.round(sizes))):
        return 0
    return int(np.clip(3 - np.floor(np.log10(np.median(sizes))), 0, 6))


def _cell(value: object, places: int) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return count(int(value))
    if isinstance(value, float | np.floating):
        return fixed(float(value), places)
    return shorten(value, _CELL)
