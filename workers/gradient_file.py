"""A block of gradient values as a safetensors file, named by what it is and by its own hash."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from estimators.arrays import FloatArray
from workers.chunk_name import content_hash
from workers.errors import ChunkError

_NAME: Final = re.compile(r"gradient-([0-9a-f]{16})-(\d+)-(\d+)-(\d+)-([0-9a-f]{12})\.safetensors", re.ASCII)
_FACTS: Final = "apportion"


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """scores: [r, c] float64. told: what was said beside them (facts of the solver, loss, notes)."""

    scores: FloatArray
    told: dict[str, Any]


def block_file(identity: str, block: tuple[int, int, int], scores: FloatArray, told: str) -> tuple[str, bytes]:
    """Name and content of a block's file; told: a JSON text kept beside the scores."""
    from safetensors.numpy import save  # noqa: PLC0415 - only where gradient values are stored

    content: bytes = save({"scores": np.ascontiguousarray(scores, dtype=np.float64)}, {_FACTS: told})
    checkpoint, columns, rows = block
    return f"gradient-{identity}-{checkpoint}-{columns}-{rows}-{content_hash(content)}.safetensors", content


def blocks_stored(names: list[str], identity: str) -> dict[tuple[int, int, int], str]:
    """Files of one identity by (checkpoint, columns, rows); of several for one block the smallest name counts."""
    found: dict[tuple[int, int, int], str] = {}
    for name in sorted(names, reverse=True):
        match = _NAME.fullmatch(name)
        if match is not None and match[1] == identity:
            found[int(match[2]), int(match[3]), int(match[4])] = name
    return found


def read_block(name: str, content: bytes) -> StoredBlock:
    """The block read back; raises ChunkError where the file is damaged or something else."""
    from safetensors import SafetensorError  # noqa: PLC0415 - see block_file
    from safetensors.numpy import load  # noqa: PLC0415

    match = _NAME.fullmatch(name)
    if match is None or content_hash(content) != match[5]:
        raise ChunkError(f"{name}: damaged, or no block of gradient values")
    try:
        length = int.from_bytes(content[:8], "little")
        told = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_FACTS])
        return StoredBlock(load(content)["scores"], told)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ChunkError(f"{name}: no block of gradient values: {error}") from error
