"""Waiting for a store that has gone away while a driver opens or closes a job.

In mid-campaign `driver/decide.py` pauses and the journal queues. At both ends there is nothing else to do: the driver
says once what it waits for, asks again, and goes on where it was. A store that never answered is not waited for.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from orchestrator.errors import Interrupted, ResourceMissing, ServerAway
from orchestrator.progress import duration
from orchestrator.signals import StopRequest
from workers.errors import StoreAway

Answer = TypeVar("Answer")
_SECONDS_A_GLANCE = 0.25


class Patience:
    """Asks a question again while the store is away, for at most `seconds` without an answer.

    say: is told once that it waits, and once that it goes on. stopping: a request to stop ends the waiting.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        stopping: StopRequest | None = None,
        *,
        seconds: float = 600.0,
        pause: float = 1.0,
        longest_pause: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._say, self._stopping, self._seconds = say, stopping or StopRequest(), seconds
        self._pause, self._longest, self._clock, self._sleep = pause, longest_pause, clock, sleep
        self._lock = Lock()

    def __call__(self, ask: Callable[[], Answer]) -> Answer:
        """The answer of `ask`, which must be harmless to ask twice.

        Raises what `ask` raises, ResourceMissing where the store stays away for too long, Interrupted.
        """
        since: float | None = None
        pause = self._pause
        while True:
            try:
                found = ask()
            except (StoreAway, ServerAway) as error:
                if not self._seconds:
                    raise
                since = self._begin(error) if since is None else since
                self._wait(pause, since, error)
                pause = min(2 * pause, self._longest)
            else:
                if since is not None:
                    self._say(f"the store is back after {duration(self._clock() - since)}")
                return found

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, nothing is waited for: whoever asks has something better to do."""
        with self._lock:
            before, self._seconds = self._seconds, 0.0
        try:
            yield
        finally:
            self._seconds = before

    def _begin(self, error: Exception) -> float:
        what = str(error).partition("\n")[0]
        self._say(f"waiting for the store, for at most {duration(self._seconds)}: {what}")
        return self._clock()

    def _wait(self, seconds: float, since: float, error: Exception) -> None:
        until = self._clock() + seconds
        while self._clock() < until:
            if self._stopping():
                raise Interrupted(
                    "stopped while the store was away",
                    signal_number=self._stopping.signal_number,
                    mend="what is stored is safe: apportion resume JOB goes on",
                ) from error
            self._sleep(min(_SECONDS_A_GLANCE, seconds))
        if self._clock() - since >= self._seconds:
            waited = duration(self._clock() - since)
            what, _, mend = str(error).partition("\n")
            raise ResourceMissing(f"{what} (waited for {waited})", mend=mend.strip()) from error


NO_PATIENCE = Patience(print, seconds=0.0)
"""For readers: what does not answer is said at once."""
