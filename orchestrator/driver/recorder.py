"""The seam between the driver's loop and whoever keeps its results; what the loop says of itself."""

from dataclasses import dataclass
from typing import Protocol

from workers.outcomes import ChunkTask, Failure, Receipt


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened so far, in chunks, rows (retrains) and events; the same size whatever the campaign's length."""

    chunks_stored: int = 0
    rows_stored: int = 0
    rows_failed: int = 0
    retries: int = 0
    losses: int = 0
    timeouts: int = 0
    backups: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """The loop's state for people. `note` says what it waits for, or nothing; seconds since the loop began."""

    counts: Counts
    rows_in_flight: int
    chunks_waiting: int
    workers: int
    seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """How the loop ended. `interrupted`: it was asked to stop, and rows may be left; else every row has its outcome."""

    counts: Counts
    seconds: float
    interrupted: bool = False
    rows_abandoned: int = 0


class Recorder(Protocol):
    """Keeps what the loop brings. Errors go through, but for StoreError of `failed`, which is tried again."""

    def stored(self, task: ChunkTask, receipt: Receipt) -> None:
        """A chunk is in the store."""
        ...

    def failed(self, task: ChunkTask, failure: Failure, attempts: int) -> None:
        """The one row of `task` has failed for good: write its failure row; raises StoreError where that fails."""
        ...

    def tick(self, progress: Progress) -> None:
        """At least every half second."""
        ...
