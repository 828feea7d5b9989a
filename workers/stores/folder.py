"""Chunks in a local folder, or in one that all nodes share."""

import errno
import os
from pathlib import Path
from typing import BinaryIO

from workers.errors import StoreError
from workers.stores.store_names import QUARANTINE, checked_name
from workers.whole_file import Fault, free_path, make_folder, no_fault, sweep, sync_folder, write_whole

_ROOM = "make room (df -h shows where), then: apportion resume JOB"
_RIGHTS = "make the folder writable for this user (ls -ld shows its owner), or name another store"
_MENDS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: "mount the file system for writing, or name another store",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOENT: "see that the folder is there and mounted on this machine",
    errno.ENOTDIR: "a part of the path is a file: name another folder",
    errno.EEXIST: "the file there is damaged or foreign: move it out of the folder, then: apportion resume JOB",
    errno.EIO: "the disk or its connection fails: look at dmesg; what is stored stays valid where it can be read",
    errno.ESTALE: "the network file system was mounted anew: start again",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
}


class FolderStore:
    """Files in one folder (0700), each 0600 and written whole (`workers.whole_file`).

    The folder is made by the first put. `fault` is for tests, see `whole_file.POINTS`.
    """

    def __init__(self, folder: Path, *, fault: Fault = no_fault) -> None:
        self.folder = folder.absolute()
        self._fault = fault
        self._swept = False

    @property
    def address(self) -> str:
        """The folder's absolute path."""
        return str(self.folder)

    def put(self, name: str, content: bytes) -> None:
        """Write one file whole; raises StoreError where the disk is full, read-only or gone, or another is there."""
        path = self._path(name)
        try:
            self._prepare()
            write_whole(path, content, fault=self._fault)
        except OSError as error:
            raise _store_error(error, f"cannot write {path}") from error

    def get(self, name: str) -> bytes:
        """Read one file; raises StoreError where it is absent or cannot be read."""
        path = self._path(name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise _store_error(error, f"cannot read {path}") from error

    def names(self) -> list[str]:
        """Names of the files there, sorted; nothing where the folder is not made yet."""
        try:
            with os.scandir(self.folder) as entries:
                found = [each.name for each in entries if each.is_file(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _store_error(error, f"cannot list {self.folder}") from error
        return sorted(name for name in found if not name.startswith("."))

    def open(self, name: str) -> BinaryIO:
        """The file for reading in part; raises StoreError where it is absent or cannot be read."""
        path = self._path(name)
        try:
            return path.open("rb")
        except OSError as error:
            raise _store_error(error, f"cannot read {path}") from error

    def set_aside(self, name: str) -> str:
        """Move a file into `quarantine/`; raises StoreError where that cannot be done."""
        path, aside = self._path(name), self.folder / QUARANTINE
        try:
            make_folder(aside)
            target = free_path(aside / path.name)
            path.rename(target)
            sync_folder(aside)
            sync_folder(self.folder)
        except OSError as error:
            raise _store_error(error, f"cannot set {path} aside") from error
        return str(target)

    def remove(self, name: str) -> None:
        """Remove a file for good; raises StoreError where that cannot be done."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            sync_folder(self.folder)
        except OSError as error:
            raise _store_error(error, f"cannot remove {path}") from error

    def _path(self, name: str) -> Path:
        return self.folder / checked_name(name)

    def _prepare(self) -> None:
        make_folder(self.folder)
        if not self._swept:
            sweep(self.folder)
            self._swept = True


def _store_error(error: OSError, what: str) -> StoreError:
    code = errno.errorcode.get(error.errno or 0, "no code")
    mend = _MENDS.get(error.errno or 0, "see that the folder can be read and written on this machine")
    return StoreError(f"{what}: {error.strerror or error} ({code})\n    {mend}")
