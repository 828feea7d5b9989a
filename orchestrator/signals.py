"""Ctrl-C and SIGTERM stop a campaign in order; a second one leaves at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """How often the user asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.count = 0
        self.signal_number = signal.SIGINT.value

    def __call__(self) -> int:
        """0 = go on, 1 = stop in order, 2 = leave at once."""
        return min(self.count, 2)

    def receive(self, signal_number: int, frame: FrameType | None) -> None:
        """Count one signal; the third ends the process on the spot."""
        del frame
        self.count += 1
        self.signal_number = signal_number
        if self.count > 2:
            os._exit(128 + signal_number)


@contextmanager
def stop_on_signals(request: StopRequest) -> Iterator[StopRequest]:
    """Route SIGINT and SIGTERM to `request` while inside."""
    before = {number: signal.signal(number, request.receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
