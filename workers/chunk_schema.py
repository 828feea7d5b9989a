"""Format 1 of chunk files, apart from their rows: columns, and the header in the schema's metadata.

Columns, one row a retrain; what opening a store reads stands together at the file's start:

    key               16 bytes      hash of the members' identities
    replicate         int32         counts retrains of one subset from 0
    size              int32         number of members
    seed              uint64        the retrain's seed
    seconds           float32       training time of the row, in the worker's monotonic clock
    attempts          int32         how often it was tried, from 1
    failure           text or null  why it failed; null = it did not
    members           ceil(n/8)     packed bits, little order; bit i = the i-th identity of the training-set version
    loss_<name>       n_test float32 (or float16, format 2), in the order of the test-set version; nulls in a failed row
    train_loss_<name> n float32, where losses on the training instances are kept; nulls in a failed row

The metadata's key `apportion` holds the header as JSON: format_version, kind, campaign, chunk, fingerprints, n,
n_test, names of losses, numeric_class, together (K), worker. kind: "retrains"; "side", the same columns with losses
of kept models on the test-set version named; or "walks". Readers of retrains skip the other two.

A walk has no `members` but `order` (n int32: a permutation of the training-set version), and its `loss_<name>` is the
path of (n + 1) (c + 1) float32: after each of 0..n instances the losses on the test instances `columns` [c] of the
header, then the mean over all test instances. The header's `rate` is the learning rate of every step.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

import pyarrow as pa

from estimators.subsets import KEY_BYTES
from workers.chunk_types import FORMAT_VERSION, LATEST_FORMAT, ChunkHeader, ChunkPart, Fingerprints, Precision
from workers.errors import ChunkError

METADATA_KEY = b"apportion"
KINDS = ("retrains", "side", "walks")
KEY_COLUMNS = ("key", "seconds", "replicate", "failure")


def loss_column(name: str) -> str:
    """The column of a loss on the test instances."""
    return f"loss_{name}"


def train_loss_column(name: str) -> str:
    """The column of a loss on the training instances."""
    return f"train_loss_{name}"


def loss_columns(header: ChunkHeader) -> dict[str, int]:
    """All loss columns with their lengths."""
    if header.kind == "walks":
        return {loss_column(name): (header.n + 1) * (len(header.columns) + 1) for name in header.losses}
    test = {loss_column(name): header.n_test for name in header.losses}
    return test | {train_loss_column(name): header.n for name in header.train_losses}


def schema_of(header: ChunkHeader) -> pa.Schema:
    """The Arrow schema of a chunk with this header, header included.

    A failed row is a list of nulls, not a null list: pyarrow does not read null lists of a fixed size, and rows stay
    aligned when a reader flattens the column.
    """
    columns = [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        pa.field("replicate", pa.int32(), nullable=False),
        pa.field("size", pa.int32(), nullable=False),
        pa.field("seed", pa.uint64(), nullable=False),
        pa.field("seconds", pa.float32(), nullable=False),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("failure", pa.string()),
        pa.field("order", order_type(header.n), nullable=False)
        if header.kind == "walks"
        else pa.field("members", pa.binary(packed_length(header.n)), nullable=False),
    ]
    for name, length in loss_columns(header).items():
        columns.append(pa.field(name, loss_type(header.precision, length), nullable=False))
    return pa.schema(columns, metadata={METADATA_KEY: encode_header(header)})


def loss_type(precision: Precision, length: int) -> pa.DataType:
    """The type of a row of losses."""
    element = pa.float16() if precision == "float16" else pa.float32()
    return pa.list_(pa.field("element", element), length)


def order_type(n: int) -> pa.DataType:
    """The type of a walk's order."""
    return pa.list_(pa.field("element", pa.int32(), nullable=False), n)


def packed_length(n: int) -> int:
    """Bytes of a packed row of members."""
    return (n + 7) // 8


def encode_header(header: ChunkHeader) -> bytes:
    """The header as JSON, the same bytes for the same facts; raises ChunkError for one that cannot be."""
    _check(header)
    facts = asdict(header)
    if header.kind != "walks":
        del facts["columns"], facts["rate"]
    if header.format_version == FORMAT_VERSION:  # as format 1 has always written it, to the byte
        del facts["precision"], facts["parts"]
    return json.dumps(facts, sort_keys=True, ensure_ascii=True).encode()


def decode_header(metadata: Mapping[bytes, bytes] | None) -> ChunkHeader:
    """The header read back from a schema's metadata; raises ChunkError for a foreign file or a newer format."""
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise ChunkError("a Parquet file, but no chunk of apportion")
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise ChunkError("its header is not readable") from error
    if not isinstance(facts, dict):
        raise ChunkError("its header is not readable")
    _refuse_newer(facts.get("format_version"))
    header = _header(facts)
    _check(header)
    return header


def _refuse_newer(version: object) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ChunkError(f"its format version is {version!r}, which none is")
    if version > LATEST_FORMAT:
        raise ChunkError(
            f"written in format {version}, this version of apportion reads up to format {LATEST_FORMAT}: "
            "install a newer apportion"
        )


def _header(facts: dict[str, Any]) -> ChunkHeader:
    try:
        parts: dict[str, Any] = {**facts, "fingerprints": Fingerprints(**facts["fingerprints"])}
        parts |= {name: tuple(facts.get(name, ())) for name in ("losses", "train_losses", "columns")}
        parts["parts"] = tuple(ChunkPart(*each) for each in facts.get("parts", ()))
        return ChunkHeader(**parts)
    except (KeyError, TypeError) as error:
        raise ChunkError(f"its header does not have the facts of format {FORMAT_VERSION}") from error


def _check(header: ChunkHeader) -> None:
    prints = header.fingerprints
    whole = (header.chunk, header.n, header.n_test, header.together, header.format_version)
    texts = (header.campaign, header.numeric_class, header.worker, *header.losses, *header.train_losses)
    texts += tuple(getattr(prints, part.name) for part in fields(prints))
    if not all(isinstance(number, int) for number in whole) or not all(isinstance(text, str) for text in texts):
        raise ChunkError("its header has facts of a wrong kind")
    if header.chunk < 0 or min(header.n, header.n_test, header.together) < 1:
        raise ChunkError(
            f"its header is impossible: chunk {header.chunk}, n {header.n}, n_test {header.n_test}, K {header.together}"
        )
    if (header.precision, header.parts) != ("float32", ()) and header.format_version < LATEST_FORMAT:
        raise ChunkError("its header has facts that its format does not know")
    if header.precision not in get_args(Precision):
        raise ChunkError(f"its losses are {header.precision!r}, which this version of apportion does not know")
    if header.kind not in KINDS:
        raise ChunkError(f"its kind is {header.kind!r}; this version of apportion knows {', '.join(KINDS)}")
    if header.kind == "walks":
        _check_walks(header)
    if not header.losses or len({*loss_columns(header)}) < len(header.losses) + len(header.train_losses):
        raise ChunkError(f"its losses are {header.losses}, {header.train_losses}: none, or two of one name")


def _check_walks(header: ChunkHeader) -> None:
    columns = header.columns
    fitting = all(isinstance(column, int) and 0 <= column < header.n_test for column in columns)
    if not columns or not fitting or list(columns) != sorted({*columns}) or header.train_losses:
        raise ChunkError(f"its walks keep test instances {str(columns)[:80]} of {header.n_test}, which cannot be")
    if not isinstance(header.rate, float) or not 0.0 < header.rate < float("inf"):
        raise ChunkError(f"its walks have the learning rate {header.rate!r}")
