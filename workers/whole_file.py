"""A file that appears whole or not at all, and is never overwritten.

In this order: a temporary of a unique name is written, flushed to the disk, linked to its final name (the one step
that others see), removed, and the folder is flushed. A power cut between any two of them leaves the final name
absent or whole.
"""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

Point = Literal["begun", "opened", "written", "synced", "linked", "removed", "folder synced"]
Fault = Callable[[Point], None]

POINTS: tuple[Point, ...] = get_args(Point)
"""Where `fault` is called, in order; tests end the process there."""

OLDEST_TEMPORARY = 3600.0
_PREFIX, _SUFFIX = ".", ".tmp"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def no_fault(point: Point) -> None:
    """What `fault` does outside tests: nothing."""
    del point


def write_whole(path: Path, content: bytes, *, fault: Fault = no_fault) -> None:
    """Write `content` to `path` (0600) so that it is there whole or not at all, and on the disk when this returns.

    Harmless where `path` holds the same content already. Raises FileExistsError where it holds another, and OSError
    for whatever else the file system brings; then nothing is left behind.
    """
    fault("begun")
    if _holds(path, content):
        sync_folder(path.parent)
        return
    temporary = path.with_name(f"{_PREFIX}{path.name[:150]}.{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}")
    try:
        _write_synced(temporary, content, fault)
        _link(temporary, path, content)
        fault("linked")
    finally:
        temporary.unlink(missing_ok=True)
    fault("removed")
    sync_folder(path.parent)
    fault("folder synced")


def sweep(folder: Path, *, older_than: float = OLDEST_TEMPORARY) -> int:
    """Remove temporaries that killed processes left, `older_than` seconds old; returns how many."""
    limit, swept = time.time() - older_than, 0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # its writer has removed it since the folder was listed
            if is_temporary(entry.name) and entry.stat(follow_symlinks=False).st_mtime < limit:
                Path(entry.path).unlink()
                swept += 1
    return swept


def is_temporary(name: str) -> bool:
    """Whether a file of this name is a temporary of `write_whole`."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def make_folder(folder: Path) -> None:
    """Make a folder (0700) and those above it, on the disk when this returns; harmless where it is there."""
    if folder.is_dir():
        return
    if folder.exists():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def _write_synced(temporary: Path, content: bytes, fault: Fault) -> None:
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:  # noqa: PTH123 - exclusive, with rights
        fault("opened")
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        fault("written")
        os.fsync(file.fileno())
    fault("synced")


def _link(temporary: Path, path: Path, content: bytes) -> None:
    """Give the file its final name. A link never overwrites; file systems without links get a rename."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        _holds(path, content)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not _holds(path, content):
            temporary.replace(path)


def _holds(path: Path, content: bytes) -> bool:
    """Whether the file is there with this content; raises FileExistsError where it is there with another."""
    try:
        size = path.lstat().st_size
    except FileNotFoundError:
        return False
    if size != len(content) or path.read_bytes() != content:
        raise FileExistsError(errno.EEXIST, "is there already with another content", str(path))
    return True


def free_path(path: Path) -> Path:
    """The path itself, or where that is taken, the first of `<name>.1`, `<name>.2`, ... that is not."""
    place, number = path, 0
    while place.exists():
        number += 1
        place = path.with_name(f"{path.name}.{number}")
    return place


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
