"""An advisory lock on a file, given back by the kernel when its process ends in any way."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Self

from orchestrator.errors import ResourceMissing


class FileLock:
    """A file held open and locked; its content says who holds it."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, content: str) -> Self | None:
        """The lock, or None where another open file holds it. A file system without locks gives one that holds nothing.

        Raises ResourceMissing where the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ResourceMissing(
                f"cannot be written: {error.strerror}", where=str(path), mend="make the store's folder writable"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            return None if error.errno in {errno.EWOULDBLOCK, errno.EACCES} else cls(None)
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content.encode(), 0)
        return cls(descriptor)

    @staticmethod
    def content(path: Path) -> str:
        """What the holder wrote; empty where it cannot be read."""
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def release(self) -> None:
        """Let go; harmless twice. The file stays: removing it would let two hold two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
