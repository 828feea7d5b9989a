"""The lease: two drivers of one job never both lead.

Each driver writes a claim under a key of its own on a board that all of them read (tags of the MLflow
experiment), and only then reads the others' claims: of two that come at once at least one sees the other, and the
one with the greater token gives way. So no compare-and-swap is needed, which MLflow does not have. A holder shows
signs of life; it is succeeded at once when its process is gone from this machine, and after `expiry` seconds of
silence on another. A successor has a greater term: a holder that was paused meanwhile finds that and stands down.
For a store in a folder an advisory lock on a file stands before all that.
"""

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Self

from orchestrator.errors import ApportionError, StoreRefused
from orchestrator.tracking.claims import Board, PatientBoard
from orchestrator.tracking.file_lock import FileLock
from orchestrator.tracking.lease_owner import Owner, gone, owner_of, this_process
from orchestrator.tracking.patience import NO_PATIENCE, Patience

_TERM = "term"
_STOP = "stop"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. observe: how long a silent claim is watched, so that clocks that differ take no lease away."""

    beat: float = 5.0
    expiry: float = 60.0
    observe: float = 12.0
    settle: float = 0.2
    patience: float = 15.0


class Lease:
    """A job's lease, held from `take` to `release`; a thread shows signs of life meanwhile."""

    def __init__(self, board: Board, owner: Owner, *, lock: FileLock | None, timing: Timing) -> None:
        self._board = board
        self._owner = owner
        self._lock = lock
        self._timing = timing
        self._stop = Event()
        self._successor: str | None = None
        self._asked_to_stop = False
        self._thread = Thread(target=self._show_life, name="apportion-lease", daemon=True)
        self._thread.start()

    @classmethod
    def take(
        cls,
        board: Board,
        *,
        job: str,
        lock_file: Path | None = None,
        host: str | None = None,
        timing: Timing | None = None,
        patience: Patience = NO_PATIENCE,
    ) -> Self:
        """Take the lease, or raise StoreRefused that names who holds it.

        lock_file: for a store in a folder. host: another name for this machine (tests). patience: with a board that
        goes away while the claim is made; the thread that shows signs of life waits for nothing.
        """
        timing = timing or Timing()
        me = this_process(beat=time.time(), host=host)
        lock = None if lock_file is None else _lock(lock_file, board, me, job=job, timing=timing)
        try:
            held = _claim(PatientBoard(board, patience), me, job=job, timing=timing)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(board, held, lock=lock, timing=timing)

    def lost(self) -> bool:
        """Another driver has taken over: this one must stop."""
        return self._successor is not None

    def asked_to_stop(self) -> bool:
        """Somebody who reaches the board has asked this holder to stop in order (`ask_to_stop`)."""
        return self._asked_to_stop

    def check(self) -> None:
        """Raise StoreRefused where another driver has taken over."""
        if self._successor is not None:
            raise StoreRefused(
                f"this driver was silent for too long and {self._successor} has taken the job over",
                mend="nothing is lost: the other driver goes on with what is stored",
            )

    def release(self) -> None:
        """Give the lease back; harmless twice and while the server is away."""
        self._stop.set()
        self._thread.join(timeout=self._timing.patience)
        if not self.lost():
            # A server that is away sees the claim expire; on this machine the process is gone soon.
            with contextlib.suppress(ApportionError, OSError):
                self._board.delete(self._owner.token)
                self._board.delete(_STOP)
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def _show_life(self) -> None:
        while not self._stop.wait(self._timing.beat):
            # While the server is away there is nobody to lose the lease to, and training goes on.
            with contextlib.suppress(ApportionError, OSError):
                self._successor = self._beat()
            if self._successor is not None:
                return

    def _beat(self) -> str | None:
        if (successor := self._superseded()) is not None:
            return successor
        self._owner = self._owner.alive(beat=time.time())
        self._board.write(self._owner.token, self._owner.text())
        # Between reading and writing this process may have been paused for an hour: look again.
        if (successor := self._superseded()) is not None:
            self._board.delete(self._owner.token)
        return successor

    def _superseded(self) -> str | None:
        texts = self._board.claims()
        self._asked_to_stop = self._asked_to_stop or texts.get(_STOP) == self._owner.token
        claims = _owners(texts)
        for owner in claims.values():
            if owner.held and owner.term > self._owner.term:
                return f"process {owner.pid} on {owner.host}"
        return None if self._owner.token in claims else "another driver"


def leader(board: Board, *, timing: Timing | None = None) -> Owner | None:
    """Who holds the lease now, for readers; None where nobody does or the holder shows no life any more."""
    timing = timing or Timing()
    here = this_process(beat=time.time())
    held = [owner for owner in _owners(board.claims()).values() if owner.held and not gone(owner, here=here)]
    living = [owner for owner in held if not _overdue(owner, here=here, timing=timing)]
    return max(living, key=lambda owner: owner.term, default=None)


def last_holder(board: Board) -> Owner | None:
    """Who holds the lease or held it last, alive or not; None where it was given back."""
    held = [owner for owner in _owners(board.claims()).values() if owner.held]
    return max(held, key=lambda owner: owner.term, default=None)


def ask_to_stop(board: Board) -> Owner | None:
    """Ask the lease's holder, wherever it runs, to stop in order, which it sees at its next beat; None without one."""
    holder = leader(board)
    if holder is not None:
        board.write(_STOP, holder.token)
    return holder


def refusal(job: str, holder: Owner | None, *, here: Owner, timing: Timing) -> StoreRefused:
    """The error that names who holds the lease, since when it is silent, and what to do."""
    if holder is None:
        return StoreRefused(f"another driver is carrying out job {job!r}", mend="wait until it ends, or stop it")
    age = max(0.0, time.time() - holder.beat)
    what = (
        f"job {job!r} is being carried out by process {holder.pid} on {holder.host}, last sign of life {age:.0f} s ago"
    )
    if (holder.host, holder.machine) == (here.host, here.machine):
        return StoreRefused(what, mend=f"wait until it ends, or stop it: kill {holder.pid} (a suspended one: kill -9)")
    return StoreRefused(
        what, mend=f"stop it there; {timing.expiry:.0f} s after its last sign of life `resume` takes over"
    )


def _lock(path: Path, board: Board, me: Owner, *, job: str, timing: Timing) -> FileLock:
    # The kernel gives a killed process' lock back only when the last of its threads is gone: wait for that.
    deadline = time.monotonic() + timing.patience
    while (lock := FileLock.take(path, me.text())) is None:
        holder = owner_of(FileLock.content(path))
        if holder is None or not gone(holder, here=me) or time.monotonic() > deadline:
            raise refusal(job, _latest(board, holder), here=me, timing=timing)
        time.sleep(0.02)
    return lock


def _claim(board: Board, me: Owner, *, job: str, timing: Timing) -> Owner:
    rivals, departed = _survey(board, me, timing=timing)
    if rivals:
        raise refusal(job, rivals[0], here=me, timing=timing)
    board.write(me.token, me.text())
    try:
        _settle(board, me, job=job, departed=departed, timing=timing)
        held = replace(me, held=True, term=_next_term(board, departed), beat=time.time())
        board.write(me.token, held.text())
    except BaseException:
        with contextlib.suppress(ApportionError, OSError):
            board.delete(me.token)
        raise
    for token in departed:
        board.delete(token)
    return held


def _next_term(board: Board, departed: dict[str, Owner]) -> int:
    # Terms outlive the claims: a holder that wakes after two successors came and went must still find itself behind.
    last = board.claims().get(_TERM, "0")
    term = 1 + max(int(last) if last.isdecimal() else 0, *(owner.term for owner in departed.values()), 0)
    board.write(_TERM, str(term))
    return term


def _survey(board: Board, me: Owner, *, timing: Timing) -> tuple[list[Owner], dict[str, Owner]]:
    # Claims that stand in the way, and claims whose drivers are gone.
    owners = _owners(board.claims())
    departed = {token: owner for token, owner in owners.items() if gone(owner, here=me)}
    rest = {token: owner for token, owner in owners.items() if token not in departed}
    silent = {token: owner for token, owner in rest.items() if _overdue(owner, here=me, timing=timing)}
    if silent and len(silent) == len(rest):
        departed |= _still_silent(board, silent, timing=timing)
    return [owner for token, owner in rest.items() if token not in departed], departed


def _overdue(owner: Owner, *, here: Owner, timing: Timing) -> bool:
    # On this machine a process that lives keeps its lease, however long it is suspended.
    if (owner.host, owner.machine) == (here.host, here.machine):
        return False
    return not -timing.beat <= time.time() - owner.beat < timing.expiry


def _still_silent(board: Board, silent: dict[str, Owner], *, timing: Timing) -> dict[str, Owner]:
    # A beat from the future tells nothing of its age: watch for as long as a claim lives.
    ahead = any(owner.beat > time.time() for owner in silent.values())
    deadline = time.monotonic() + (timing.expiry if ahead else timing.observe)
    while silent and time.monotonic() < deadline:
        time.sleep(min(timing.beat, max(0.0, deadline - time.monotonic())))
        now = _owners(board.claims())
        silent = {token: owner for token, owner in silent.items() if now.get(token, owner) == owner}
    return silent


def _settle(board: Board, me: Owner, *, job: str, departed: dict[str, Owner], timing: Timing) -> None:
    deadline = time.monotonic() + timing.patience
    while True:
        owners = _owners(board.claims())
        rivals = [owner for token, owner in owners.items() if token != me.token and token not in departed]
        if not rivals:
            return
        first = min(rivals, key=lambda owner: (not owner.held, owner.token))
        if first.held or first.token < me.token or time.monotonic() > deadline:
            raise refusal(job, first, here=me, timing=timing)
        time.sleep(timing.settle)


def _latest(board: Board, holder: Owner | None) -> Owner | None:
    # The lock's file says who took it, the board when that one last showed life.
    if holder is not None:
        with contextlib.suppress(ApportionError, OSError):
            return _owners(board.claims()).get(holder.token, holder)
    return holder


def _owners(claims: dict[str, str]) -> dict[str, Owner]:
    found = {token: owner_of(text) for token, text in claims.items()}
    return {token: owner for token, owner in found.items() if owner is not None}
