"""What the driver knows while a campaign runs, what may happen to it, and what it may decide.

All of it is plain data: `orchestrator.driver.decide` turns (state, event, now) into (state, actions), and
`orchestrator.driver.dispatch` carries the actions out. Times are seconds of one monotonic clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.driver.pool import Finished, Running
from orchestrator.driver.recorder import Counts
from workers.outcomes import ChunkTask, Failure, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient the driver is.

    tries: counted failures of the same rows before they are halved, or, of one row alone, before it is recorded.
    tries_alone: the same for one row alone whose worker died, which has causes beside the row.
    time_limit: seconds a chunk may take from when it became the first of its worker; None = no limit.
    loss_pause, longest_pause: the first and the longest pause after a lost worker or a failed write; it doubles.
    losses_in_a_row: lost workers (at least one `loss_pause` apart) without one chunk stored, before giving up.
    storage_patience: seconds of failed writes without one chunk stored, before giving up.
    workers_patience: seconds without any worker, before giving up. reminder: how often to say so.
    most_waiting: chunks set back, above which no fresh chunk is begun.
    backup_after: a chunk in flight for so many times a chunk's usual seconds is copied to an idle worker, when nothing
    else is left to send; 0 = never. A chunk that waits behind another takes twice the usual.
    grace: seconds that chunks in flight get to finish after a request to stop. look: seconds between two looks.
    """

    tries: int = 2
    tries_alone: int = 3
    time_limit: float | None = None
    loss_pause: float = 1.0
    longest_pause: float = 30.0
    losses_in_a_row: int = 50
    storage_patience: float = 600.0
    workers_patience: float = 600.0
    reminder: float = 30.0
    most_waiting: int = 1000
    backup_after: float = 2.5
    grace: float = 30.0
    look: float = 0.25


@dataclass(frozen=True, slots=True)
class Work:
    """A chunk and its history. tries: counted failures of exactly these rows; avoid: the workers they failed on.

    sent: when it was handed out last. copied: a copy was sent too, once and never again.
    """

    task: ChunkTask
    tries: int = 0
    avoid: frozenset[str] = frozenset()
    not_before: float = -math.inf
    sent: float = math.inf
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """Action: tell the recorder that a chunk is in the store."""

    task: ChunkTask
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class SetAside:
    """Action: record the one row of `task` as failed for good."""

    task: ChunkTask
    failure: Failure
    attempts: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Action: end a worker that hangs."""

    worker: str


@dataclass(frozen=True, slots=True)
class Say:
    """Action: a log line, the decision with its numbers."""

    text: str
    warning: bool = True


@dataclass(frozen=True, slots=True)
class Stop:
    """Action: give up, what is stored stays. `store`: the store is the cause, else the workers are."""

    what: str
    mend: str
    store: bool = False


Action = Store | SetAside | Kill | Say | Stop


@dataclass(frozen=True, slots=True)
class Sent:
    """Event: the pool took the work under a ticket. copy_of: the ticket whose chunk it is a copy of."""

    ticket: int
    work: Work
    copy_of: int | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """Event: a look at the pool, every quarter of a second."""

    running: tuple[Running, ...]
    workers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Event: the recorder has written a failure row, or could not (`error`), and it must be tried again."""

    action: SetAside
    error: str = ""


Event = Sent | Finished | Looked | Recorded


@dataclass(frozen=True, slots=True)
class State:
    """What the driver knows: as large as what waits and what is in flight, whatever was done before.

    timed_out: tickets whose worker was ended. unrecorded: failure rows the store would not take yet.
    twins: tickets in flight with the same chunk. chunk_seconds: of workers, summed over chunks stored.
    storage_since, alone_since: when writes began to fail, when the last worker went. hold_until: nothing is sent
    before, and then one chunk at a time while writes fail.
    """

    waiting: tuple[Work, ...] = ()
    in_flight: Mapping[int, Work] = field(default_factory=dict)
    timed_out: frozenset[int] = frozenset()
    twins: Mapping[int, int] = field(default_factory=dict)
    chunk_seconds: float = 0.0
    unrecorded: tuple[SetAside, ...] = ()
    losses_in_a_row: int = 0
    last_loss: float = -math.inf
    storage_failures: int = 0
    storage_since: float | None = None
    hold_until: float = -math.inf
    alone_since: float | None = None
    reminded: float = -math.inf
    note: str = ""
    counts: Counts = field(default_factory=Counts)

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is in flight."""
        return not (self.waiting or self.in_flight or self.unrecorded)
