"""Names of chunk files: `<chunk>-<rows hash>-<content hash>.parquet`, of side files and walks with their kind in front.

The rows hash (12 hex digits of SHA-256 over keys and replicates) tells two parts of one chunk apart; the content hash
(12 hex digits of SHA-256 over the whole file) makes a second put harmless and a flipped bit visible, on every store.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from estimators.arrays import IntArray
from workers.errors import ChunkError

HASH_DIGITS = 12
RETRAINS = "retrains"
_NAME = re.compile(r"(?:(side|walks)-)?(\d{7,18})-([0-9a-f]{12})-([0-9a-f]{12})\.parquet", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChunkName:
    """The parts of a chunk file's name."""

    chunk: int
    rows: str
    content: str
    kind: str = RETRAINS

    def __str__(self) -> str:
        return f"{'' if self.kind == RETRAINS else self.kind + '-'}{self.chunk:07d}-{self.rows}-{self.content}.parquet"


def chunk_name(chunk: int, keys: Sequence[bytes], replicates: IntArray, content: bytes, *, kind: str = RETRAINS) -> str:
    """The name of a chunk file that holds these rows (keys of 16 bytes, replicates [rows]) as `content`."""
    return str(ChunkName(chunk, rows_hash(keys, replicates), content_hash(content), kind))


def parse_name(name: str, *, kind: str = RETRAINS) -> ChunkName | None:
    """The parts of the name of a chunk file of a kind, None where it is none (a plan, identities, a foreign file)."""
    parsed = parsed_of_any_kind(name)
    return parsed if parsed is not None and parsed.kind == kind else None


def parsed_of_any_kind(name: str) -> ChunkName | None:
    """The parts of the name of a chunk file of whichever kind."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    parsed = ChunkName(int(found[2]), found[3], found[4], found[1] or RETRAINS)
    return parsed if str(parsed) == name else None


def rows_hash(keys: Sequence[bytes], replicates: IntArray) -> str:
    """Twelve hex digits of SHA-256 over keys and replicates, in the order of the rows."""
    hasher = hashlib.sha256(b"".join(keys))
    hasher.update(replicates.astype("<i8").tobytes())
    return hasher.hexdigest()[:HASH_DIGITS]


def content_hash(content: bytes) -> str:
    """Twelve hex digits of SHA-256 over a whole file."""
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]


def verify_content(name: str, content: bytes) -> ChunkName:
    """The parts of the name; raises ChunkError where the whole file's hash is not the one in its name."""
    parsed = parsed_of_any_kind(name)
    if parsed is None:
        raise ChunkError(f"{name!r}: not the name of a chunk")
    found = content_hash(content)
    if found != parsed.content:
        raise ChunkError(
            f"{name}: damaged: its {len(content)} bytes have the SHA-256 {found}..., its name says {parsed.content}..."
        )
    return parsed
