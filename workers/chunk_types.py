"""A chunk in memory: its header and its rows, one a retrain."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from estimators.arrays import ByteArray, Float32Array, IntArray, SeedArray

FORMAT_VERSION = 1


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
        return tuple(part for part in ("train", "test", "learner", "code") if getattr(self, part) != getattr(other, part))


@dataclass(frozen=True, slots=True)
class ChunkHeader:
    """What stands once in a chunk file.

    kind: "retrains" here; "walks" and "side" (losses on added test instances) have their place in the format.
    members bits are positions in the training-set version `fingerprints.train`.
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
