"""The list of identities of a training or test set, stored once beside the chunks that refer to it.

Bit i of a chunk's `members`, and loss i of a row, mean the i-th identity of the version that the chunk's
fingerprints name. So chunks stay readable when the data file grows, is re-ordered or is gone.
"""

import io
import json
import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from estimators.arrays import ByteArray
from estimators.subsets import IDENTITY_BYTES
from workers.chunk_types import FORMAT_VERSION
from workers.errors import ChunkError

Role = Literal["train", "test"]

_KEY = b"apportion.identities"
_VERSION = re.compile(r"[0-9A-Za-z]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class IdentityList:
    """Identities [n, 16] uint8 of one version of a training or test set, in file order."""

    role: Role
    version: str
    identities: ByteArray


def identities_name(role: Role, version: str) -> str:
    """The file's name: `identities-<role>-<version>.parquet`; raises ChunkError where the version is no hash."""
    if _VERSION.fullmatch(version) is None:
        raise ChunkError(f"the version {version[:80]!r} of a {role} set cannot be a part of a file's name")
    return f"identities-{role}-{version}.parquet"


def encode_identities(identities: ByteArray, *, role: Role, version: str) -> bytes:
    """Identities [n, 16] uint8 as a Parquet file with one column `identity`: the same bytes for the same list."""
    if identities.dtype != np.uint8 or identities.shape[1:] != (IDENTITY_BYTES,):
        raise ChunkError(f"identities: {identities.dtype} {identities.shape}, expected uint8 (n, {IDENTITY_BYTES})")
    facts = json.dumps({"format_version": FORMAT_VERSION, "role": role, "version": version}, sort_keys=True)
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(IDENTITY_BYTES), len(identities), [None, pa.py_buffer(np.ascontiguousarray(identities))]
    )
    schema = pa.schema([pa.field("identity", column.type, nullable=False)], metadata={_KEY: facts.encode()})
    stream = io.BytesIO()
    parquet.write_table(
        pa.Table.from_arrays([column], schema=schema),
        stream,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    return stream.getvalue()


def decode_identities(content: bytes) -> IdentityList:
    """The list read back; raises ChunkError where the file is damaged, foreign or of a newer format."""
    try:
        table = parquet.ParquetFile(io.BytesIO(content), page_checksum_verification=True).read()
        facts = json.loads((table.schema.metadata or {})[_KEY])
        version, role = facts["format_version"], facts["role"]
        joined = b"".join(table["identity"].to_pylist())
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise ChunkError("a list of identities is damaged, or is none") from error
    if version > FORMAT_VERSION:
        raise ChunkError(f"a list of identities is of format {version}, this apportion reads up to {FORMAT_VERSION}")
    if role not in get_args(Role):
        raise ChunkError(f"a list of identities is of a {role!r} set; known are {', '.join(get_args(Role))}")
    identities = np.frombuffer(joined, dtype=np.uint8).reshape(-1, IDENTITY_BYTES)
    return IdentityList(role, facts["version"], identities)
