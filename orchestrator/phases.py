"""Where a run's time goes: the start, the training between the first chunk sent and the last received, the rest."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil


@dataclass(slots=True)
class Phases:
    """Moments of one run, in seconds of a monotonic clock. Parts of the start may overlap.

    began: when the run began. parts: seconds of each named part. first_sent, last_received: of chunks, None where
    nothing was trained. retrain_seconds: summed over retrains; workers: how many were up at most.
    """

    began: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = time.monotonic
    parts: dict[str, float] = field(default_factory=dict)
    first_sent: float | None = None
    last_received: float | None = None
    retrain_seconds: float = 0.0
    workers: int = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Inside, time is counted for a named part."""
        began = self.clock()
        try:
            yield
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + self.clock() - began

    def sent(self, now: float) -> None:
        """A chunk went to a worker."""
        self.first_sent = now if self.first_sent is None else self.first_sent

    def received(self, now: float, *, workers: int) -> None:
        """A chunk came back."""
        self.last_received = now
        self.workers = max(self.workers, workers)

    def figures(self, ended: float) -> dict[str, float]:
        """Seconds of start, training and the rest, and the share of the workers' time that no retrain had."""
        if self.first_sent is None or self.last_received is None:
            return {"seconds_all": ended - self.began}
        training = self.last_received - self.first_sent
        figures = {
            "seconds_start": self.first_sent - self.began,
            "seconds_training": training,
            "seconds_values_and_report": ended - self.last_received,
        }
        if training > 0 and self.workers:
            figures["share_lost"] = max(0.0, 1.0 - self.retrain_seconds / (training * self.workers))
        return figures

    def words(self, ended: float) -> str:
        """The figures as one line, and the parts of the start."""
        figures = self.figures(ended)
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.parts.items())
        if "seconds_training" not in figures:
            return f"time: {figures['seconds_all']:.1f} s, nothing was trained ({parts})"
        lost = f", {figures['share_lost']:.1%} of it no retrain's" if "share_lost" in figures else ""
        return (
            f"time: start {figures['seconds_start']:.1f} s ({parts}), training {figures['seconds_training']:.1f} s on "
            f"{self.workers} workers{lost}, values and report {figures['seconds_values_and_report']:.1f} s"
        )


def process_began() -> float:
    """When this process was started, on the clock of `time.monotonic`."""
    return time.monotonic() - max(0.0, time.time() - psutil.Process().create_time())
