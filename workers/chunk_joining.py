"""Several chunks of one campaign as one file: the rows that count, as they are, with where they came from."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from estimators.arrays import BoolArray
from workers.chunk_file import failures_of
from workers.chunk_types import LATEST_FORMAT, Chunk, ChunkHeader, ChunkPart, ChunkRows
from workers.errors import ChunkError

SEVERAL = "several"
"""The worker of a file whose parts are of several."""


def joined(chunks: Sequence[tuple[Chunk, BoolArray]]) -> Chunk:
    """One chunk of the rows chosen (a mask [rows] a chunk), in the order given, under the first chunk's number.

    Raises ChunkError where the chunks differ in what stands once in a header, or nothing is chosen.
    """
    headers = [chunk.header for chunk, _ in chunks]
    if len({_alike(header) for header in headers}) != 1:
        raise ChunkError("chunks of different campaigns, data, losses or numeric classes cannot be joined")
    parts = tuple(part for chunk, chosen in chunks for part in _parts(chunk.header, chosen))
    workers = {part.worker for part in parts}
    header = replace(
        headers[0],
        chunk=min(header.chunk for header in headers),
        worker=workers.pop() if len(workers) == 1 else SEVERAL,
        format_version=LATEST_FORMAT,
        parts=parts,
    )
    return Chunk(header, _rows(header, chunks))


def _alike(header: ChunkHeader) -> ChunkHeader:
    """The header without what parts may differ in."""
    return replace(header, chunk=0, worker="", format_version=LATEST_FORMAT, parts=())


def _parts(header: ChunkHeader, chosen: BoolArray) -> list[ChunkPart]:
    parts = header.parts or (ChunkPart(header.chunk, len(chosen), header.worker),)
    ends = np.cumsum([part.rows for part in parts])
    counts = [int(chosen[end - part.rows : end].sum()) for part, end in zip(parts, ends, strict=True)]
    return [part._replace(rows=count) for part, count in zip(parts, counts, strict=True) if count]


def _rows(header: ChunkHeader, chunks: Sequence[tuple[Chunk, BoolArray]]) -> ChunkRows:
    picked = [(chunk.rows, np.flatnonzero(chosen)) for chunk, chosen in chunks]

    def whole(name: str) -> np.ndarray:
        return np.concatenate([getattr(rows, name)[places] for rows, places in picked])

    return ChunkRows(
        keys=tuple(rows.keys[place] for rows, places in picked for place in places),
        members=whole("members"),
        sizes=whole("sizes"),
        seeds=whole("seeds"),
        replicates=whole("replicates"),
        seconds=whole("seconds"),
        attempts=whole("attempts"),
        losses={name: np.concatenate([rows.losses[name][places] for rows, places in picked]) for name in header.losses},
        train_losses={
            name: np.concatenate([rows.train_losses[name][places] for rows, places in picked])
            for name in header.train_losses
        },
        failures=tuple(failures_of(rows)[place] for rows, places in picked for place in places),
    )
