"""Metrics on their way to MLflow: the driver's loop never waits for them.

They are appended to a file, one line a moment, and one thread sends them from there in batches. How far it has
come stands in a second file, so that a killed driver's successor sends the rest, with the original times. What
was sent but not yet noted as sent is sent twice, which MLflow's key (run, metric, time, step, value) makes
harmless. While the server is away the file is the queue.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Self

from orchestrator.errors import ResourceMissing
from orchestrator.tracking.metric_points import Moment, Point, Thinning, metric_name, moment_of

Send = Callable[[str, Sequence[Point]], None]


class Unsendable(Exception):
    """Raised by `send` for points that no later try would bring through (the run was deleted)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two batches and, doubling, between tries while the server is away; points in a batch."""

    every: float = 1.5
    longest: float = 30.0
    batch: int = 1000


class Journal:
    """Metrics noted and not yet sent, of all runs of a job.

    send(run_id, points): brings points to MLflow; raises Unsendable where it is in vain, anything else where it
    should be tried again. say: is told once when the server is away, and once when it is back.
    """

    def __init__(
        self, folder: Path, send: Send, *, say: Callable[[str], None], limit: int = 1000, pace: Pace | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = folder / "metrics.jsonl"
        self._mark = folder / "metrics.sent"
        self._send = send
        self._say = say
        self._pace = pace or Pace()
        self._thinning = Thinning(limit)
        self._lock = Lock()
        self._closing = Event()
        self._given_up = Event()
        self._away = False
        self._mend_tail()
        for moment in _moments(self._file.read_bytes() if self._file.exists() else b""):
            self._thinning.count(moment)
        self._sent = self._read_mark()
        self._stream = self._file.open("ab", buffering=0)
        self._thread = Thread(target=self._work, name="apportion-metrics", daemon=True)

    @classmethod
    def open(
        cls,
        folder: Path,
        send: Send,
        *,
        say: Callable[[str], None] = print,
        limit: int = 1000,
        pace: Pace | None = None,
    ) -> Self:
        """A journal in a folder, with its thread running; what a killed driver left there is sent first.

        Raises ResourceMissing where the folder cannot be written.
        """
        try:
            journal = cls(folder, send, say=say, limit=limit, pace=pace)
        except OSError as error:
            raise ResourceMissing(
                f"metrics cannot be noted: {error.strerror}",
                where=str(folder),
                mend="make the job's folder writable, or copy the job file to a folder that is",
            ) from error
        journal._thread.start()
        return journal

    def note(self, run_id: str, step: int, metrics: dict[str, float], *, last: bool = False) -> None:
        """Note metrics at `step` retrains done; at most `limit` points a metric are kept, NaN and infinities are not.

        last: the campaign's last point, kept whatever its distance to the one before. Never raises for a full disk:
        a metric is not worth a campaign.
        """
        named = {metric_name(*key.split("/")): value for key, value in metrics.items()}
        moment = Moment(run_id, step, time.time_ns() // 1_000_000, named)
        with self._lock:
            kept = self._thinning.keep(moment, last=last)
            if not kept.metrics:
                return
            try:
                self._stream.write(kept.line())
            except OSError as error:
                self._tell_away(f"metrics cannot be noted in {self._file}: {error.strerror}; training goes on")

    def of(self, run_id: str) -> "RunJournal":
        """The journal as one campaign sees it."""
        return RunJournal(self, run_id)

    def unsent(self) -> int:
        """Points noted and not yet sent."""
        return sum(len(moment.metrics) for moment in _moments(self._tail()))

    def close(self, timeout: float = 10.0) -> int:
        """Send what is left, for at most `timeout` seconds; the points that stay in the file for the next driver."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._given_up.set()
        self._stream.close()
        return self.unsent()

    def _work(self) -> None:
        wait = self._pace.every
        while not self._closing.wait(wait):
            wait = self._pace.every if self._send_some() else min(2 * wait, self._pace.longest)
        # Closing: the rest at once; while the server is away `close` decides how long to go on.
        while not self._given_up.is_set() and self._next_batch()[1] > self._sent:
            if not self._send_some():
                self._given_up.wait(min(self._pace.every, 1.0))

    def _send_some(self) -> bool:
        # Sends one batch and moves the mark; False where the server is away.
        moments, after = self._next_batch()
        points = sorted((point for moment in moments for point in moment.points()), key=lambda point: point.run_id)
        for run_id, group in groupby(points, key=lambda point: point.run_id):
            try:
                self._send(run_id, list(group))
            except Unsendable as refused:
                self._say(f"metrics of run {run_id} are dropped: {refused}")
            except Exception as error:  # noqa: BLE001 - whatever the server does, training goes on and the file keeps all
                self._tell_away(f"metrics wait in {self._file} while the tracking server is away ({error})")
                return False
        if self._away and moments:
            self._away = False
            self._say("the tracking server is back; waiting metrics are being sent")
        self._move_mark(after)
        return True

    def _next_batch(self) -> tuple[list[Moment], int]:
        batch: list[Moment] = []
        after, points = self._sent, 0
        for line in self._tail().splitlines(keepends=True):
            moment = moment_of(line)
            size = 0 if moment is None else len(moment.metrics)
            if not line.endswith(b"\n") or (batch and points + size > self._pace.batch):
                break
            after, points = after + len(line), points + size
            if moment is not None:
                batch.append(moment)
        return batch, after

    def _tail(self) -> bytes:
        with self._file.open("rb") as stream:
            stream.seek(self._sent)
            return stream.read()

    def _tell_away(self, text: str) -> None:
        if not self._away:
            self._away = True
            self._say(text)

    def _mend_tail(self) -> None:
        # A kill in mid-write leaves half a line: end it, so that the next line stands alone.
        if self._file.exists() and (content := self._file.read_bytes()) and not content.endswith(b"\n"):
            with self._file.open("ab") as stream:
                stream.write(b"\n")

    def _read_mark(self) -> int:
        try:
            mark = int(self._mark.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
        size = self._file.stat().st_size if self._file.exists() else 0
        return mark if 0 <= mark <= size else 0

    def _move_mark(self, sent: int) -> None:
        if sent == self._sent:
            return
        self._sent = sent
        fresh = self._mark.with_suffix(".new")
        # On a full disk the mark stays behind, and a successor sends some points twice, harmlessly.
        with contextlib.suppress(OSError):
            fresh.write_text(str(sent), encoding="ascii")
            fresh.replace(self._mark)


@dataclass(frozen=True, slots=True)
class RunJournal:
    """One run's part of a journal."""

    journal: Journal
    run_id: str

    def metrics(self, step: int, metrics: dict[str, float], *, last: bool = False) -> None:
        """Note metrics at `step` retrains done, as `Journal.note` does."""
        self.journal.note(self.run_id, step, metrics, last=last)


def _moments(content: bytes) -> list[Moment]:
    found = (moment_of(line) for line in content.splitlines())
    return [moment for moment in found if moment is not None]
