"""Whether the cluster's head still answers: when it is gone, Ray ends every process after a minute without a word."""

import socket
import time

from orchestrator.errors import ResourceMissing

SECONDS_OF_SILENCE = 25.0
_SECONDS_TO_ANSWER = 2.0


class HeadWatch:
    """Tries the head's port before it is asked anything, since questions to a dead head block."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._place = (host.strip("[]"), int(port))
        self._answered = time.monotonic()

    def answers(self) -> bool:
        """Whether the port takes a connection now; raises ResourceMissing after 25 s in which it did not."""
        try:
            socket.create_connection(self._place, timeout=_SECONDS_TO_ANSWER).close()
        except OSError as error:
            if time.monotonic() - self._answered > SECONDS_OF_SILENCE:
                raise self._gone(str(error)) from error
            return False
        self._answered = time.monotonic()
        return True

    def _gone(self, reason: str) -> ResourceMissing:
        what = f"the Ray cluster's head at {self._place[0]}:{self._place[1]} is gone: {reason}"
        return ResourceMissing(what, where="cluster", mend="start the cluster again, then `apportion resume`")
