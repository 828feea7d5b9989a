"""What the driver decided, kept beside its journal: one JSON object a line, bounded in size, without secrets."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from orchestrator.jobs.job import Job
from orchestrator.tracking.addresses import mask_text
from orchestrator.wording import masked, names_secret

DRIVER_LOG = "driver.log"
MOST_BYTES = 4 * 2**20
"""Of a file; one more is kept, `driver.log.1`."""
LONGEST_TEXT = 2000


@contextlib.contextmanager
def driver_log(folder: Path) -> Iterator[None]:
    """Inside, what the driver logs from INFO on is written to `driver.log` in a folder too.

    A line is {"time": UTC, "level", "where": the module, "text"}, and the numbers that the decision was made on, where
    the record has them (`facts`). A log that cannot be written stops nothing.
    """
    log = logging.getLogger("orchestrator")
    try:
        handler: logging.Handler = _File(folder / DRIVER_LOG)
    except OSError:
        yield
        return
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
        handler.close()


def kept_folder(job: Job, run_id: str) -> Path:
    """Where the driver keeps what is not in the store: metrics on their way, and its log."""
    return job.folder / ".apportion" / run_id


def read_driver_log(folder: Path) -> list[str]:
    """The lines for people, oldest first: `2026-01-31 12:00:00 warning: chunk 3 ...`; what is no record is left out."""
    lines = []
    for path in (folder / f"{DRIVER_LOG}.1", folder / DRIVER_LOG):
        content = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in content.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                lines.append(_for_people(json.loads(line)))
    return lines


def _for_people(record: dict[str, object]) -> str:
    known = {"time", "level", "where", "text"}
    facts = ", ".join(f"{name} {value}" for name, value in record.items() if name not in known)
    moment = str(record["time"])[:19].replace("T", " ")
    return f"{moment} {record['level']}: {record['text']}" + (f"  ({facts})" if facts else "")


class _File(RotatingFileHandler):
    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8")
        self.setLevel(logging.INFO)
        self.setFormatter(_Json())

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_for_its_owner)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A full disk: training goes on."""


class _Json(logging.Formatter):
    def __init__(self) -> None:
        super().__init__()
        self._secrets = [value for name, value in os.environ.items() if names_secret(name) and len(value) >= 6]

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        facts: dict[str, object] = getattr(record, "facts", {})
        text = mask_text(masked(record.getMessage()), limit=LONGEST_TEXT)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "where": record.name,
            "text": text,
            **facts,
        }
        return json.dumps(line, ensure_ascii=False)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
