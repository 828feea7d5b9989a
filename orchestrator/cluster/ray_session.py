"""The private side of a Ray started here: folder, token, environment, working folder; all put back afterwards."""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from ray import _raylet
from ray._private import ray_constants

_PREFIX = "apportion-ray-"
_STALE_SECONDS = 600.0
# Unix sockets stand in the session's folder, and their paths end at 107 bytes
_LONGEST_FOLDER = 40


class PrivateSession:
    """A folder only this user can read, with Ray's files and the token; `close` removes it."""

    def __init__(self) -> None:
        self.folder = Path()
        self.empty = Path()
        self._environment = ExitStack()

    def open(self) -> None:
        """Make the folder, write the token, set Ray's environment until `close`."""
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_short_place()))
        self.empty = self.folder / "work"  # stays while the cluster does: it is the workers' working folder
        self.empty.mkdir()
        settings = {"RAY_AUTH_MODE": "token"}
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
            settings["RAY_AUTH_TOKEN_PATH"] = str(self._write_token())
        self._environment.enter_context(environment(settings))
        read_environment_again()

    def _write_token(self) -> Path:
        path = self.folder / "token"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        return path

    @contextmanager
    def loopback_only(self) -> Iterator[None]:
        """Inside, Ray takes 127.0.0.1 for this machine's address, and what it writes is for this user alone.

        Its switch for that is meant for other systems and read at import, hence both the variable and the constant.
        """
        before, umask = ray_constants.ENABLE_RAY_CLUSTER, os.umask(0o077)
        ray_constants.ENABLE_RAY_CLUSTER = False
        try:
            with environment({ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):
                yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = before
            os.umask(umask)

    def close(self) -> None:
        """Put the environment back and remove the folder."""
        self._environment.close()
        if self.folder.name.startswith(_PREFIX):
            shutil.rmtree(self.folder, ignore_errors=True)


def read_environment_again() -> None:
    """Ray reads its mode and token when it is imported, which may be long before: let it look again."""
    _raylet.Config.initialize("")  # type: ignore[attr-defined] # what Ray calls itself; not in its stubs
    _raylet.AuthenticationTokenLoader.instance().reset_cache()  # type: ignore[attr-defined] # as above


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


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Inside, the environment has these settings."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def working_folder(folder: Path) -> Iterator[None]:
    """Inside, the working folder is this one: Ray makes it the first place where workers look for modules."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
