"""A block of gradient values as a safetensors file, named by what it is and by its own hash."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, cast

import numpy as np

from estimators.arrays import AnyArray
from workers.chunk_name import content_hash
from workers.errors import ChunkError

Kind = Literal["gradient", "self", "stationarity"]
"""gradient: of what the entry gives, influence on test instances for one. self: on the training instances' own losses.
stationarity: how far the model is from a minimum of the training objective."""
_NAME: Final = re.compile(
    r"(gradient|self|stationarity)-([0-9a-f]{16})-(\d+)-(\d+)-(\d+)-([0-9a-f]{12})\.safetensors", re.ASCII
)
_FACTS: Final = "apportion"


class GradientTask(NamedTuple):
    """One piece of work and one file: training rows [rows, ...) against tests [columns, ...) at one checkpoint."""

    kind: Kind
    checkpoint: int
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """arrays: by name, float64 or int64. told: what was said beside them (facts of the solver, loss, notes)."""

    arrays: Mapping[str, AnyArray]
    told: Mapping[str, Any]


def block_file(identity: str, task: GradientTask, arrays: Mapping[str, AnyArray], told: str) -> tuple[str, bytes]:
    """Name and content of a block's file; told: a JSON text kept beside the arrays."""
    from safetensors.numpy import save  # noqa: PLC0415 - only where gradient values are stored

    content: bytes = save({name: np.ascontiguousarray(each) for name, each in arrays.items()}, {_FACTS: told})
    kind, checkpoint, columns, rows = task
    return f"{kind}-{identity}-{checkpoint}-{columns}-{rows}-{content_hash(content)}.safetensors", content


def blocks_stored(names: list[str], identity: str) -> dict[GradientTask, str]:
    """Files of one identity by their task; of several for one task the smallest name counts."""
    found: dict[GradientTask, str] = {}
    for name in sorted(names, reverse=True):
        match = _NAME.fullmatch(name)
        if match is not None and match[2] == identity:
            task = GradientTask(cast("Kind", match[1]), int(match[3]), int(match[4]), int(match[5]))
            found[task] = name
    return found


def read_block(name: str, content: bytes) -> StoredBlock:
    """The block read back; raises ChunkError where the file is damaged or something else."""
    from safetensors import SafetensorError  # noqa: PLC0415 - see block_file
    from safetensors.numpy import load  # noqa: PLC0415

    match = _NAME.fullmatch(name)
    if match is None or content_hash(content) != match[6]:
        raise ChunkError(f"{name}: damaged, or no block of gradient values")
    try:
        length = int.from_bytes(content[:8], "little")
        told = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_FACTS])
        return StoredBlock(load(content), told)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ChunkError(f"{name}: no block of gradient values: {error}") from error
