"""Arrays of files that are too large to load: `.npy`, and members of an `.npz` that are stored as they are."""

import zipfile
from pathlib import Path
from typing import IO

import numpy as np
import psutil

from orchestrator.errors import JobError
from orchestrator.jobs.job import Job
from workers.errors import LearnerError
from workers.mapped_array import MappedArray, mapped

SHARE_OF_MEMORY = 0.25
"""Of the memory that is free: a larger array is mapped where that can be done."""


def to_be_mapped(size: int, job: Job) -> bool:
    """Whether an array of `size` bytes stays in its file."""
    asked = job.data.memory_map
    return asked == "always" or (asked == "auto" and size > SHARE_OF_MEMORY * psutil.virtual_memory().available)


def mapped_npy(path: Path, where: str) -> MappedArray:
    """The array of a `.npy` file. Raises JobError where it holds objects, is cut short, or stands column by column."""
    with path.open("rb") as stream:
        return _mapped(stream, path, where)


def mapped_member(path: Path, info: zipfile.ZipInfo, where: str) -> MappedArray | None:
    """The array of an `.npz` member, None where it is compressed."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        return None
    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        header = stream.read(30)
        if header[:4] != b"PK\x03\x04":
            return None
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        stream.seek(info.header_offset + 30 + lengths)
        return _mapped(stream, path, where)


def _mapped(stream: IO[bytes], path: Path, where: str) -> MappedArray:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(stream)
    except ValueError as error:
        raise JobError(f"cannot be read: {error}", where=where, mend="write the file again with numpy.save") from None
    if dtype.hasobject:
        raise JobError("holds Python objects, which are never unpickled", where=where, mend="save numbers")
    if by_columns and len(shape) > 1:
        raise JobError("stands column by column", where=where, mend="numpy.save(path, numpy.ascontiguousarray(X))")
    try:
        return mapped(str(path.resolve()), dtype.str, tuple(shape), stream.tell())
    except LearnerError as error:
        raise JobError(str(error).partition("\n")[0], where=where, mend="write the file again") from None
