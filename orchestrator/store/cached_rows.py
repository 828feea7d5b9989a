"""Every stored retrain that did not fail, as memory-mapped arrays: what interactive questions are answered from.

Rows stand in the order of their files (campaign, name), then in the file's own order. `bits` and `columns` are the
same facts laid out the other way, so that a question about one training instance reads R / 8 bytes and one about
one test instance reads 4 R.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from estimators.arrays import AnyArray, BoolArray, ByteArray, Float32Array, IntArray
from orchestrator.errors import StoreRefused

FACTS = "facts.json"
CACHE_VERSION = 1
MOST_VERIFIED_BYTES = 2**28
"""An array up to this weight is checked against its checksum when it is opened (0.1 s for 100 MB)."""


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What the arrays are of. files: (campaign, name) a file; arrays: name -> (shape, dtype, CRC-32)."""

    state: str
    rows: int
    n: int
    n_test: int
    losses: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    workers: tuple[str, ...]
    arrays: Mapping[str, tuple[tuple[int, ...], str, int]]
    version: int = CACHE_VERSION

    def encode(self) -> str:
        """The facts as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def decode(text: str) -> "CacheFacts":
        """The facts read back; raises ValueError, KeyError or TypeError where they are none."""
        facts = json.loads(text)
        arrays = {name: (tuple(shape), dtype, crc) for name, (shape, dtype, crc) in facts["arrays"].items()}
        files = tuple((campaign, name) for campaign, name in facts["files"])
        lists = {"losses": tuple(facts["losses"]), "workers": tuple(facts["workers"])}
        return CacheFacts(**{**facts, **lists, "arrays": arrays, "files": files})


@dataclass(frozen=True, slots=True)
class CachedRows:
    """R retrains. All arrays are read only.

    keys: [R, 16] uint8. replicates, sizes, attempts: [R] int32. seeds: [R] uint64. seconds: [R] float32. file, worker:
    [R] int32, places in the facts' lists. chunk: [R] int64. members: [R, ceil(n/8)] packed. bits: [n, ceil(R/8)]
    packed. losses: name -> [R, n_test]; columns: name -> [n_test, R]; NaN where a row's file does not hold the loss.
    means: name -> [R] float32, the mean over the test instances.
    """

    facts: CacheFacts
    keys: ByteArray
    replicates: IntArray
    sizes: IntArray
    attempts: IntArray
    seeds: AnyArray
    seconds: Float32Array
    file: IntArray
    worker: IntArray
    chunk: IntArray
    members: ByteArray
    bits: ByteArray
    losses: Mapping[str, Float32Array]
    columns: Mapping[str, Float32Array]
    means: Mapping[str, Float32Array]

    def __len__(self) -> int:
        """R."""
        return self.facts.rows

    def holding(self, instance: int) -> BoolArray:
        """Which rows [R] have the training instance in their subset."""
        return np.unpackbits(self.bits[instance], count=len(self), bitorder="little").view(np.bool_)


ROW_ARRAYS = tuple(
    each.name
    for each in fields(CachedRows)
    if each.name not in {"facts", "members", "bits", "losses", "columns", "means"}
)


def row_dtypes() -> dict[str, str]:
    """The dtype on disk of each array of one number (or key) a row."""
    small = dict.fromkeys(("replicates", "sizes", "attempts", "file", "worker"), "<i4")
    return {"keys": "|u1", **small, "seeds": "<u8", "seconds": "<f4", "chunk": "<i8"}


def open_cached(folder: Path, state: str) -> CachedRows:
    """The arrays in `folder`; raises StoreRefused where they are of another state, cut short or damaged."""
    try:
        facts = CacheFacts.decode((folder / FACTS).read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, "its facts cannot be read") from error
    if (facts.version, facts.state) != (CACHE_VERSION, state):
        raise _damaged(folder, "it is of another state of the store")
    opened = {name: _mapped(folder, name, facts) for name in facts.arrays}
    return CachedRows(
        facts=facts,
        members=opened["members"],
        bits=opened["bits"],
        losses={name: opened[f"loss-{place}"] for place, name in enumerate(facts.losses)},
        columns={name: opened[f"column-{place}"] for place, name in enumerate(facts.losses)},
        means={name: opened[f"mean-{place}"] for place, name in enumerate(facts.losses)},
        **{name: opened[name] for name in ROW_ARRAYS},
    )


def checksum(array: AnyArray) -> int:
    """CRC-32 of an array's bytes, block by block."""
    crc = 0
    flat = array.reshape(-1).view(np.uint8) if array.size else np.zeros(0, dtype=np.uint8)
    for start in range(0, len(flat), 2**24):
        crc = zlib.crc32(flat[start : start + 2**24].data, crc)
    return crc


def _mapped(folder: Path, name: str, facts: CacheFacts) -> Any:
    shape, dtype, crc = facts.arrays[name]
    try:
        array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) if 0 not in shape else None
    except ValueError as error:
        raise _damaged(folder, f"{name} cannot be read") from error
    if array is None:
        return np.zeros(shape, dtype=dtype)
    plain = array.view(np.ndarray)
    if plain.shape != shape or plain.dtype.str != dtype:
        raise _damaged(folder, f"{name} has another shape than was written")
    if plain.nbytes <= MOST_VERIFIED_BYTES and checksum(plain) != crc:
        raise _damaged(folder, f"{name} has another checksum than was written")
    return plain


def _damaged(folder: Path, what: str) -> StoreRefused:
    return StoreRefused(f"the read cache: {what}", where=str(folder), mend="it may be deleted at any time: rm -r it")
