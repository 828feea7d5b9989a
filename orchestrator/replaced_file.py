"""A file for people (an export, a report) that appears whole or not at all.

Chunks have their own, stricter writer in `workers.whole_file`; this one streams, so that a large matrix never stands
in memory a second time.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.errors import JobError, ResourceMissing

_CAUSES_IN_THE_PATH = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """A new file open for writing, which takes the place of `path` when the block ends without an error.

    Until then, and for ever after an error, `path` is what it was. Raises JobError where the path cannot be written,
    ResourceMissing where the disk fails on the way (full, input/output error).
    """
    _refuse_impossible(path)
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except _CAUSES_IN_THE_PATH as error:
        raise JobError(
            f"cannot be written: {error.strerror or error}", where=str(path), mend="choose a path that you may write to"
        ) from error
    except OSError as error:
        raise ResourceMissing(
            f"writing stopped: {error.strerror or error}; nothing was left behind",
            where=str(path),
            mend="make room or repair the disk, then try again",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_impossible(path: Path) -> None:
    if path.is_dir():
        raise JobError("is a folder, not a file", where=str(path), mend=f"name a file in it: {path / 'values.parquet'}")
    if not path.parent.is_dir():
        raise JobError(
            f"the folder {path.parent} does not exist", where=str(path), mend=f"make it first: mkdir -p {path.parent}"
        )
