"""Whether the cluster's head still answers: when it is gone, Ray ends every process after a minute without a word."""

import socket
import time

from orchestrator.errors import ResourceMissing

SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_OF_SILENCE = 25.0
_SECONDS_TO_ANSWER = 2.0


class HeadWatch:
    """Tries the head's port now and then; raises ResourceMissing after 25 s without an answer."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._place = (host.strip("[]"), int(port))
        self._next_look = 0.0
        self._answered = time.monotonic()

    def look(self) -> None:
        """One try, no more often than every few seconds."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        try:
            socket.create_connection(self._place, timeout=_SECONDS_TO_ANSWER).close()
        except OSError as error:
            if now - self._answered > SECONDS_OF_SILENCE:
                raise self._gone(str(error)) from error
        else:
            self._answered = now

    def _gone(self, reason: str) -> ResourceMissing:
        what = f"the Ray cluster's head at {self._place[0]}:{self._place[1]} is gone: {reason}"
        return ResourceMissing(what, where="cluster", mend="start the cluster again, then `apportion resume`")
