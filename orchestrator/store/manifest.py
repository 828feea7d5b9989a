"""A campaign's chunk files and rows in one file, so that a store opens without listing or opening its chunks.

One row a retrain that counts, sorted by key: key, replicate, failure, and the file it stands in with that file's
figures. It is written when a campaign has ended and after its chunks were joined; the campaign's run names the one
that holds in a tag, which is emptied before the first chunk that it does not know of. Files that are not in it are not
looked at by readers; a driver always lists. Its name holds its hash, and pages carry checksums.
"""

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from estimators.arrays import AnyArray, ByteArray, IntArray
from orchestrator.store.row_names import FileFacts
from orchestrator.store.row_table import FileTable, RowTable, first_halves
from workers.chunk_types import Fingerprints
from workers.errors import ChunkError

MANIFEST_TAG = "apportion.manifest"
MANIFEST_VERSION = 1
_KEY = b"apportion.manifest"
_NAME = re.compile(r"manifest-([0-9a-f]{12})\.parquet", re.ASCII)
_PER_FILE = ("file_rows", "file_failed", "file_seconds", "file_bytes", "together")


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What a manifest is of."""

    campaign: str
    fingerprints: Fingerprints
    n: int
    n_test: int
    version: int = MANIFEST_VERSION


@dataclass(frozen=True, slots=True)
class ManifestRows:
    """Rows to be written, in any order.

    keys: [R, 16]; replicates, row: [R]; file: [R], places in `files`; reasons: position -> why that row failed.
    """

    keys: ByteArray
    replicates: IntArray
    file: IntArray
    row: IntArray
    reasons: dict[int, str]
    files: Sequence[tuple[str, FileFacts]]


def is_manifest(name: str) -> bool:
    """Whether a file of this name is a manifest."""
    return _NAME.fullmatch(name) is not None


def encode_manifest(facts: ManifestFacts, rows: ManifestRows) -> tuple[str, bytes]:
    """Name and content: the same bytes for the same facts and rows."""
    order = np.lexsort((rows.replicates, first_halves(rows.keys)))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    reasons = [None] * len(order)
    for position, reason in rows.reasons.items():
        reasons[int(places[position])] = reason  # type: ignore[call-overload]
    file = rows.file[order]
    figures = [each for _, each in rows.files]
    columns = {
        "key": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(order), [None, pa.py_buffer(np.ascontiguousarray(rows.keys[order]))]
        ),
        "replicate": pa.array(rows.replicates[order].astype(np.int32)),
        "row": pa.array(rows.row[order].astype(np.int32)),
        "failure": pa.array(reasons, pa.string()),
        "file": _by_file([name for name, _ in rows.files], file),
        "file_rows": _numbers([each.rows for each in figures], file, np.int32),
        "file_failed": _numbers([each.failed for each in figures], file, np.int32),
        "file_seconds": _numbers([each.seconds for each in figures], file, np.float64),
        "file_bytes": _numbers([each.bytes for each in figures], file, np.int64),
        "together": _numbers([each.together for each in figures], file, np.int32),
        "numeric_class": _by_file([each.numeric_class for each in figures], file),
        "losses": _by_file([",".join(each.losses) for each in figures], file),
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(asdict(facts), sort_keys=True)})
    stream = io.BytesIO()
    parquet.write_table(
        table,
        stream,
        compression="zstd",
        compression_level=1,
        write_page_checksum=True,
        write_statistics=False,
        use_dictionary=["file", "numeric_class", "losses"],
        dictionary_pagesize_limit=2**28,
    )
    content = stream.getvalue()
    return f"manifest-{hashlib.sha256(content).hexdigest()[:12]}.parquet", content


def decode_manifest(name: str, content: bytes) -> tuple[ManifestFacts, RowTable]:
    """The rows read back, their whole hash verified; raises ChunkError where it is damaged, foreign or newer."""
    found = _NAME.fullmatch(name)
    if found is None or hashlib.sha256(content).hexdigest()[:12] != found[1]:
        raise ChunkError(f"{name}: damaged, or no manifest")
    try:
        reader = parquet.ParquetFile(
            io.BytesIO(content), page_checksum_verification=True, read_dictionary=["file", "numeric_class", "losses"]
        )
        said = json.loads(reader.schema_arrow.metadata[_KEY])
        if said["version"] > MANIFEST_VERSION:
            raise ChunkError(f"{name}: a manifest of version {said['version']}: install a newer apportion")
        facts = ManifestFacts(**{**said, "fingerprints": Fingerprints(**said["fingerprints"])})
        return facts, _rows(facts.campaign, reader.read().combine_chunks())
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise ChunkError(f"{name}: a manifest that cannot be read") from error


def _rows(campaign: str, table: pa.Table) -> RowTable:
    named = _one(table["file"])
    file = named.indices.to_numpy().astype(np.int64)
    count = len(named.dictionary)
    first = np.zeros(count, dtype=np.int64)
    first[file[::-1]] = np.arange(len(file))[::-1]  # a row of each file: what it says of the file holds
    per_file = {name: table[name].to_numpy()[first] if count else np.zeros(0, np.int64) for name in _PER_FILE}
    failures = _one(table["failure"])
    failed = np.flatnonzero(failures.is_valid().to_numpy(zero_copy_only=False))
    keys = np.frombuffer(_one(table["key"]).buffers()[1], dtype=np.uint8)[: 16 * len(file)].reshape(-1, 16)
    return RowTable(
        campaign=campaign,
        files=FileTable(
            names=named.dictionary,
            rows=per_file["file_rows"],
            failed=per_file["file_failed"],
            seconds=per_file["file_seconds"],
            bytes=per_file["file_bytes"],
            numeric_classes=_one(table["numeric_class"]).dictionary_decode().take(pa.array(first)),
            together=per_file["together"],
            losses=_one(table["losses"]).dictionary_decode().take(pa.array(first)),
        ),
        keys=keys,
        high=first_halves(keys),
        replicates=table["replicate"].to_numpy().astype(np.int64),
        file=file,
        row=table["row"].to_numpy().astype(np.int64),
        reasons={int(place): failures[int(place)].as_py() for place in failed},
    )


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column of a table of one chunk (or none)."""
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _by_file(texts: list[str], file: IntArray) -> pa.Array:
    encoded = pc.dictionary_encode(pa.array(texts, pa.string()))
    places = encoded.indices.to_numpy()[file] if len(texts) else np.zeros(0, dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), encoded.dictionary)


def _numbers(values: list[float], file: IntArray, kind: type) -> AnyArray:
    return np.array(values, dtype=kind)[file]
