"""A store's SQLite file in the making: MLflow's tables take seconds, so it is begun early and put in place whole.

It is made beside its place under a name of its own, and linked there when it is complete: a kill may come in between,
and another driver may be quicker.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from orchestrator.errors import ResourceMissing
from orchestrator.tracking.place import LocalPlace

_OLD_LEFTOVER_SECONDS = 3600.0


class NewDatabase:
    """Made by a thread from the first moment on. make: fills an SQLite address with MLflow's tables."""

    def __init__(self, place: LocalPlace, make: Callable[[str], object]) -> None:
        self._database = place.database
        self._fresh = place.database.with_name(f".{place.database.name}.{os.getpid()}-{secrets.token_hex(4)}.new")
        self._make = make
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="apportion-new-store", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._fresh.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sweep(self._database)
            os.close(os.open(self._fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            self._make(f"sqlite:///{self._fresh}")
        except BaseException as error:  # noqa: BLE001 - raised again where the file is asked for
            self._error = error

    def put_in_place(self) -> None:
        """Wait until it is made, and put it where it belongs; raises ResourceMissing where it cannot be made."""
        self._thread.join()
        try:
            if self._error is not None:
                raise self._error
            # A link refuses where another driver was quicker; its file is as good.
            with contextlib.suppress(FileExistsError):
                _put_in_place(self._fresh, self._database)
        except OSError as error:
            raise ResourceMissing(
                f"cannot be made: {error.strerror or error}",
                where=str(self._database),
                mend="name a file in a folder that is writable",
            ) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing of it behind, but for what was put in place; harmless twice."""
        self._thread.join()
        self._fresh.unlink(missing_ok=True)


def _put_in_place(fresh: Path, database: Path) -> None:
    if database.exists():  # an empty file, or the one of a quicker driver
        if database.stat().st_size == 0:
            fresh.replace(database)
        return
    try:
        os.link(fresh, database)
    except PermissionError:  # a file system without hard links
        fresh.rename(database)


def _sweep(database: Path) -> None:
    for leftover in database.parent.iterdir():
        if not (leftover.name.startswith(f".{database.name}.") and ".new" in leftover.name):
            continue
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _OLD_LEFTOVER_SECONDS:
                leftover.unlink()
