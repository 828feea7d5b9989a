"""The driver's loop: hand out, wait, decide, act. The only place that waits is `pool.next_finished`."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict

from orchestrator.driver.decide import decide, may_begin, may_send, next_waiting, straggler
from orchestrator.driver.driver_state import (
    Action,
    Event,
    Kill,
    Looked,
    Policy,
    Recorded,
    Say,
    Sent,
    SetAside,
    State,
    Stop,
    Store,
    Work,
)
from orchestrator.driver.pool import Finished, Pool
from orchestrator.driver.recorder import Progress, Recorder, Summary
from orchestrator.errors import ResourceMissing
from orchestrator.phases import Phases
from workers.errors import StoreError
from workers.outcomes import ChunkTask

LEAVE_AT_ONCE = 2

log = logging.getLogger(__name__)


def carry_out(
    tasks: Iterator[ChunkTask],
    pool: Pool,
    recorder: Recorder,
    *,
    policy: Policy,
    clock: Callable[[], float],
    stopping: Callable[[], int],
    phases: Phases | None = None,
) -> Summary:
    """Bring every task to its outcome: stored, or failed with a reason.

    clock: monotonic seconds, the same that the pool uses. stopping: 0 = go on, 1 = hand out nothing more and leave
    when what is in flight has finished or `policy.grace` is over, 2 = leave at once. phases: told of the first chunk
    sent and the last received.
    Raises StoreError where the store refuses for too long, ResourceMissing where no worker is left for too long or
    all of them die. The pool stays open.
    """
    driver = _Driver(tasks, pool, recorder, policy, clock, phases)
    began, stop_at, looked = clock(), None, float("-inf")
    while not driver.finished():
        stop = stopping()
        if stop and stop_at is None:
            stop_at = clock() + policy.grace
            log.info("asked to stop: waiting at most %.0f s for %d chunks", policy.grace, len(driver.state.in_flight))
        if stop >= LEAVE_AT_ONCE or (stop_at is not None and (clock() >= stop_at or not driver.state.in_flight)):
            return driver.summary(began, interrupted=True)
        if stop_at is None:
            driver.hand_out()
        finished = pool.next_finished(policy.look)
        if finished is not None:
            driver.received(finished)
        if clock() - looked >= policy.look:
            looked = clock()
            driver.handle(Looked(tuple(pool.running()), tuple(pool.workers())))
            recorder.tick(driver.progress(began))
    return driver.summary(began, interrupted=False)


class _Driver:
    """Holds the state between events; decides nothing itself."""

    def __init__(
        self,
        tasks: Iterator[ChunkTask],
        pool: Pool,
        recorder: Recorder,
        policy: Policy,
        clock: Callable[[], float],
        phases: Phases | None,
    ) -> None:
        self.state = State()
        self._phases = phases or Phases(clock=clock)
        self._tasks, self._pool, self._recorder, self._policy, self._clock = tasks, pool, recorder, policy, clock
        self._ahead = next(tasks, None)

    def finished(self) -> bool:
        """Whether every task has its outcome."""
        return self._ahead is None and self.state.idle

    def hand_out(self) -> None:
        """Fill the pool: chunks set back first, then fresh ones."""
        while self._pool.free() > 0 and may_send(self.state, now=self._clock()):
            work = next_waiting(self.state, now=self._clock()) or self._fresh()
            if work is None:
                self._back_up()
                return
            ticket = self._pool.submit(work.task, avoid=work.avoid)
            self._phases.sent(self._clock())
            self.handle(Sent(ticket, work))

    def _back_up(self) -> None:
        """Copy a straggler to an idle worker, where all else is sent."""
        ticket = None if self._ahead is not None else straggler(self.state, policy=self._policy, now=self._clock())
        if ticket is None:
            return
        busy = {running.worker for running in self._pool.running()}
        if not set(self._pool.workers()) - busy:
            return
        work = self.state.in_flight[ticket]
        log.info("chunk %d: copied to an idle worker after %.1f s", work.task.chunk, self._clock() - work.sent)
        self.handle(Sent(self._pool.submit(work.task, avoid=frozenset(busy)), work, copy_of=ticket))

    def _fresh(self) -> Work | None:
        if self._ahead is None or not may_begin(self.state, policy=self._policy):
            return None
        work, self._ahead = Work(self._ahead), next(self._tasks, None)
        return work

    def received(self, finished: Finished) -> None:
        """An outcome came."""
        self._phases.received(self._clock(), workers=len(self._pool.workers()))
        self.handle(finished)

    def handle(self, event: Event) -> None:
        """Decide on an event and act."""
        self.state, actions = decide(self.state, event, policy=self._policy, now=self._clock())
        for action in actions:
            self._act(action)

    def _act(self, action: Action) -> None:
        match action:
            case Store(task, receipt):
                self._recorder.stored(task, receipt)
            case SetAside():
                self._record_failure(action)
            case Kill(worker):
                self._pool.kill(worker)
            case Say(text, warning):
                log.log(logging.WARNING if warning else logging.INFO, "%s", text, extra={"facts": self._facts()})
            case Stop(what, mend, store):
                raise StoreError(f"{what}\n    {mend}") if store else ResourceMissing(what, mend=mend)

    def _record_failure(self, action: SetAside) -> None:
        try:
            self._recorder.failed(action.task, action.failure, action.attempts)
        except StoreError as error:
            self.handle(Recorded(action, str(error)))
        else:
            self.handle(Recorded(action))

    def progress(self, began: float) -> Progress:
        """The state for people."""
        return Progress(
            counts=self.state.counts,
            rows_in_flight=self._rows_in_flight(),
            chunks_waiting=len(self.state.waiting),
            workers=len(self._pool.workers()),
            seconds=self._clock() - began,
            note=self.state.note,
        )

    def _facts(self) -> dict[str, int]:
        """The numbers that a decision leaves behind, for the driver's log."""
        state = self.state
        there = {"in_flight": len(state.in_flight), "waiting": len(state.waiting), "workers": len(self._pool.workers())}
        return there | asdict(state.counts)

    def summary(self, began: float, *, interrupted: bool) -> Summary:
        """How it ended."""
        return Summary(self.state.counts, self._clock() - began, interrupted, self._rows_in_flight())

    def _rows_in_flight(self) -> int:
        return sum(work.task.rows for work in self.state.in_flight.values())
