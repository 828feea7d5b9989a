"""One model in a store: where it stands, read back by whoever needs it.

Models of the whole training set stand in files of their own, `whole-<identity>-<content hash>.safetensors`; those of a
campaign's retrains in its files of kept models.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from workers.chunk_name import content_hash
from workers.errors import ChunkError
from workers.keeping import Models
from workers.model_file import decode_models
from workers.stores import open_chunk_store

_NAME: Final = re.compile(r"whole-([0-9a-f]{16})-([0-9a-f]{12})\.safetensors", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """address: of the store; file: in it; key, replicate: of the retrain, in a file of kept models."""

    address: str
    file: str
    key: bytes = b""
    replicate: int = 0

    def read(self) -> Models:
        """Its arrays, each [1, ...]; raises ChunkError where the file is damaged or holds another model."""
        content = open_chunk_store(self.address).get(self.file)
        return self._kept(content) if self.key else read_whole(self.file, content)

    def _kept(self, content: bytes) -> Models:
        kept = decode_models(self.file, content)
        rows = zip(kept.keys, kept.replicates.tolist(), strict=True)
        place = next((place for place, row in enumerate(rows) if row == (self.key, self.replicate)), None)
        if place is None:
            raise ChunkError(f"{self.file} holds no model of retrain {self.key.hex()}, replicate {self.replicate}")
        return kept.rows([place])


def whole_file(identity: str, models: Models) -> tuple[str, bytes]:
    """Name and content of the file of one model of the whole training set, arrays [1, ...]."""
    from safetensors.numpy import save  # noqa: PLC0415 - only where models are stored

    content: bytes = save({name: np.ascontiguousarray(array) for name, array in models.items()})
    return f"whole-{identity}-{content_hash(content)}.safetensors", content


def whole_stored(names: list[str], identity: str) -> str | None:
    """The file of that identity; the smallest name counts."""
    found = [name for name in sorted(names) if (match := _NAME.fullmatch(name)) and match[1] == identity]
    return found[0] if found else None


def read_whole(name: str, content: bytes) -> Models:
    """The model read back, arrays [1, ...]; raises ChunkError where the file is damaged or something else."""
    from safetensors import SafetensorError  # noqa: PLC0415 - see whole_file
    from safetensors.numpy import load  # noqa: PLC0415

    match = _NAME.fullmatch(name)
    if match is None or content_hash(content) != match[2]:
        raise ChunkError(f"{name}: damaged, or no model of the whole training set")
    try:
        found: Models = load(content)
    except (SafetensorError, ValueError) as error:
        raise ChunkError(f"{name}: no model of the whole training set: {error}") from error
    return found
