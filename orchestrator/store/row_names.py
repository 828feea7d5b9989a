"""Where rows stand: names of files and places in them."""

from dataclasses import dataclass
from typing import NamedTuple


class FileId(NamedTuple):
    """A chunk file; the order of files is that of their names."""

    name: str
    campaign: str


class Place(NamedTuple):
    """A row's place: the file, and the row in it."""

    file: FileId
    row: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one file adds to the store's figures. seconds: of training, summed over its rows. bytes: on disk."""

    rows: int
    failed: int
    seconds: float
    numeric_class: str
    together: int
    losses: tuple[str, ...] = ()
    bytes: int = 0


class WrittenRows(NamedTuple):
    """What a file holds, as its writer knows it: the file's figures, and names of its rows, none of which failed."""

    facts: FileFacts
    keys: tuple[bytes, ...]
    replicates: list[int]
