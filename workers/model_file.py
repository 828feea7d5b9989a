"""Kept models of one chunk as bytes and back: a safetensors file beside the chunk, put before it.

Its name is the chunk's own, `models-<chunk>-<rows hash>-<content hash>.safetensors`, so that the models of a row are
found from where the row stands. Tensors are stacked, row k of each belongs to row k of the chunk; two more,
`apportion.keys` [rows, 16] and `apportion.replicates` [rows], name the rows. Nothing is executed when it is read.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, IntArray
from estimators.subsets import KEY_BYTES
from workers.chunk_name import ChunkName, content_hash, rows_hash
from workers.chunk_types import FORMAT_VERSION, ChunkHeader, Fingerprints
from workers.errors import ChunkError
from workers.keeping import Models

KEYS: Final = "apportion.keys"
REPLICATES: Final = "apportion.replicates"
_FACTS: Final = "apportion"
_NAME: Final = re.compile(r"models-(\d{7,18})-([0-9a-f]{12})-([0-9a-f]{12})\.safetensors", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeptModels:
    """Models of a chunk's rows. keys: 16 bytes each; replicates: [rows]; models: each [rows, ...]."""

    keys: tuple[bytes, ...]
    replicates: IntArray
    models: Models
    fingerprints: Fingerprints
    numeric_class: str

    def rows(self, chosen: Sequence[int]) -> Models:
        """The models of some of the rows, in the order asked."""
        return {name: array[list(chosen)] for name, array in self.models.items()}


def models_name(chunk: int, keys: Sequence[bytes], replicates: IntArray, content: bytes) -> str:
    """The name of the file that holds the models of these rows as `content`."""
    return f"models-{chunk:07d}-{rows_hash(keys, replicates)}-{content_hash(content)}.safetensors"


def models_of_chunk(name: str) -> tuple[int, str] | None:
    """Chunk number and rows hash in a models file's name, None where it is no models file's."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1]), found[2])


def beside(chunk: ChunkName) -> tuple[int, str]:
    """Chunk number and rows hash of the models of a chunk's rows."""
    return chunk.chunk, chunk.rows


def encode_models(header: ChunkHeader, keys: Sequence[bytes], replicates: IntArray, models: Models) -> bytes:
    """The models as a safetensors file: the same bytes for the same models. Raises ChunkError for odd arrays."""
    from safetensors.numpy import save  # noqa: PLC0415 - only where models are kept

    arrays: dict[str, AnyArray] = {}
    for name, array in models.items():
        if name in {KEYS, REPLICATES} or len(array) != len(keys) or array.dtype.kind not in "fiub":
            raise ChunkError(f"models: {name!r} is {array.dtype} {array.shape}, for {len(keys)} rows")
        arrays[name] = np.ascontiguousarray(array)
    arrays[KEYS] = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), KEY_BYTES)
    arrays[REPLICATES] = replicates.astype(np.int64)
    facts = {"format_version": FORMAT_VERSION, "numeric_class": header.numeric_class, "chunk": header.chunk}
    facts |= {"fingerprints": asdict(header.fingerprints)}
    content: bytes = save(arrays, {_FACTS: json.dumps(facts, sort_keys=True)})
    return content


def decode_models(name: str, content: bytes) -> KeptModels:
    """The models read back; raises ChunkError where the file is damaged, foreign or of a newer format."""
    from safetensors import SafetensorError  # noqa: PLC0415 - see encode_models
    from safetensors.numpy import load  # noqa: PLC0415

    found = _NAME.fullmatch(name)
    if found is None or content_hash(content) != found[3]:
        raise ChunkError(f"{name}: damaged, or no file of kept models")
    try:
        length = int.from_bytes(content[:8], "little")
        facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_FACTS])
        arrays = load(content)
        keys, replicates = arrays.pop(KEYS), arrays.pop(REPLICATES)
        prints, version = Fingerprints(**facts["fingerprints"]), int(facts["format_version"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ChunkError(f"{name}: no file of kept models: {error}") from error
    if version > FORMAT_VERSION:
        raise ChunkError(f"{name}: written in format {version}, this apportion reads up to {FORMAT_VERSION}")
    rows = tuple(key.tobytes() for key in keys)
    if rows_hash(rows, replicates) != found[2] or any(len(array) != len(rows) for array in arrays.values()):
        raise ChunkError(f"{name}: holds other rows than its name says")
    return KeptModels(rows, replicates, arrays, prints, str(facts["numeric_class"]))
