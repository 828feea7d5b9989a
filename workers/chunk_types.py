"""A chunk in memory: its header and its rows, one a retrain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from estimators.arrays import BoolArray, ByteArray, Float32Array, IntArray, SeedArray

FORMAT_VERSION = 1
LATEST_FORMAT = 2
"""Format 2 is written only for what format 1 does not know: losses in float16, and chunks joined to one file."""

Precision = Literal["float32", "float16"]


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What must be equal for rows to be one store's: hex hashes.

    train: the training-set version (identities in file order). test: the test-set version. learner: its options
    and declared ends. code: the user's source files and the learner's own arithmetic version.
    """

    train: str
    test: str
    learner: str
    code: str

    def differing(self, other: "Fingerprints") -> tuple[str, ...]:
        """Names of the parts that differ."""
        parts = ("train", "test", "learner", "code")
        return tuple(part for part in parts if getattr(self, part) != getattr(other, part))


class ChunkPart(NamedTuple):
    """A chunk that was joined to a larger file: its number, its rows, and the worker that trained it."""

    chunk: int
    rows: int
    worker: str


@dataclass(frozen=True, slots=True)
class ChunkHeader:
    """What stands once in a chunk file.

    kind: "retrains"; "side" (losses of kept models on the test-set version named); "walks". members bits are positions
    in the training-set version `fingerprints.train`. Of walks alone: columns, the test instances whose losses are kept
    beside the mean over all, and rate, the learning rate of every step. precision: of losses in the file (in memory
    they are float32). parts: of a file that several chunks were joined to, whose rows stand in it in this order.
    """

    campaign: str
    chunk: int
    fingerprints: Fingerprints
    n: int
    n_test: int
    losses: tuple[str, ...]
    train_losses: tuple[str, ...]
    numeric_class: str
    together: int
    worker: str
    kind: str = "retrains"
    format_version: int = FORMAT_VERSION
    columns: tuple[int, ...] = ()
    rate: float | None = None
    precision: Precision = "float32"
    parts: tuple["ChunkPart", ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """Rows of a chunk. A failed retrain has a reason in `failures` and no losses (NaN in memory, null on disk).

    keys: 16 bytes each. members: [rows, ceil(n/8)] uint8. sizes, replicates, attempts: [rows]. seeds: [rows]
    uint64. seconds: [rows] float32. losses: name -> [rows, n_test] float32; train_losses: name -> [rows, n].
    """

    keys: tuple[bytes, ...]
    members: ByteArray
    sizes: IntArray
    seeds: SeedArray
    replicates: IntArray
    seconds: Float32Array
    attempts: IntArray
    losses: Mapping[str, Float32Array]
    train_losses: Mapping[str, Float32Array] = field(default_factory=dict)
    failures: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk file read whole."""

    header: ChunkHeader
    rows: ChunkRows


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """What opening a store needs of a chunk: which rows it holds, without their losses.

    keys: 16 bytes each. replicates: [rows]. failures: reasons, None where a row did not fail. seconds: [rows].
    """

    header: ChunkHeader
    keys: tuple[bytes, ...]
    replicates: IntArray
    failures: tuple[str | None, ...]
    seconds: Float32Array


@dataclass(frozen=True, slots=True)
class LossRows:
    """One loss of a chunk's rows.

    members: [rows, ceil(n/8)] packed. losses: [rows, n_test] float32, NaN where `failed` [rows]; train_losses:
    the same on the training instances, [rows, n], where asked for.
    train_version: which training set `members` bits and train losses refer to.
    """

    members: ByteArray
    losses: Float32Array
    train_losses: Float32Array | None
    failed: BoolArray
    train_version: str = ""
