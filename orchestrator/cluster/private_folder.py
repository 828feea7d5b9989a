"""The folder of a Ray started here, which only this user can read: Ray's files, the token, an empty working folder."""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

_PREFIX = "apportion-ray-"
_STALE_SECONDS = 600.0
# Unix sockets stand in the session's folder, and their paths end at 107 bytes
_LONGEST_FOLDER = 40


class PrivateFolder:
    """Made by `make`, removed by `remove`."""

    def __init__(self) -> None:
        self.path = Path()

    def make(self) -> tuple[Path, Mapping[str, str]]:
        """Make the folder and write the token: the empty working folder, and the environment that names the token."""
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_short_place()))
        empty = self.path / "work"  # stays while the cluster does: it is the workers' working folder
        empty.mkdir()
        settings = {"RAY_AUTH_MODE": "token"}
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
            settings["RAY_AUTH_TOKEN_PATH"] = str(self._write_token())
        return empty, settings

    def _write_token(self) -> Path:
        path = self.path / "token"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        return path

    def remove(self) -> None:
        """Remove the folder; harmless twice."""
        if self.path.name.startswith(_PREFIX):
            shutil.rmtree(self.path, ignore_errors=True)


def _short_place() -> str:
    place = tempfile.gettempdir()
    return place if len(place) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 - mkdtemp makes it private


def _sweep() -> None:
    """Remove the folders of drivers that were killed."""
    for folder in Path(_short_place()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).split("-")[0]
        try:
            mine = folder.stat().st_uid == os.getuid() and not folder.is_symlink()
            old = time.time() - folder.stat().st_mtime > _STALE_SECONDS
        except OSError:
            continue
        if mine and old and pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
