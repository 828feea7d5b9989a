"""What the driver decides: (state, event, now) -> (state, actions). Pure: no clock, no randomness, no outside.

- A failed chunk is tried once more elsewhere, then halved, until the guilty row stands alone; where the worker
  names the guilty rows, they are set alone at once and the others go on together. A row that fails alone too is
  recorded with its reason and attempts.
- A lost worker is an unknown outcome: the chunk it was at goes back and counts a try, the one behind it goes back
  uncounted, and so does any chunk of a node that was taken away with notice.
- A chunk over its time limit costs its worker, and counts a try of that chunk alone.
- Failed writes are not the chunk's fault: everything pauses, then one chunk at a time tries the store.
- When nothing is left to send, a chunk in flight for far longer than usual is copied to an idle worker: the first
  of the two to be stored counts, a failure of one waits for the other.
- Outcomes under tickets that are not in flight (late, double) change nothing: files in the store are whole and
  named by their content, so that storing twice is harmless.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

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
from orchestrator.driver.pool import Finished
from workers.outcomes import Failure, Receipt

LEAST_USUAL = 3
"""Chunks stored before their time counts as usual."""

Value = TypeVar("Value")
Decided = tuple[State, tuple[Action, ...]]


def decide(state: State, event: Event, *, policy: Policy, now: float) -> Decided:
    """The state after an event, and what to do about it."""
    match event:
        case Sent():
            return _sent(state, event, now), ()
        case Finished():
            return _finished(state, event, policy, now)
        case Looked():
            return _looked(state, event, policy, now)
        case Recorded():
            return _recorded(state, event, policy, now)


def next_waiting(state: State, *, now: float) -> Work | None:
    """The first chunk set back whose pause is over."""
    return next((work for work in state.waiting if work.not_before <= now), None)


def may_send(state: State, *, now: float) -> bool:
    """Whether anything may be handed out: not during a pause, and one at a time while writes fail."""
    return now >= state.hold_until and (state.storage_failures == 0 or not state.in_flight)


def may_begin(state: State, *, policy: Policy) -> bool:
    """Whether a fresh chunk may be begun: not while too many wait."""
    return len(state.waiting) < policy.most_waiting


def straggler(state: State, *, policy: Policy, now: float) -> int | None:
    """The ticket in flight longest, where it is due for a copy: unusually long, never failed, not copied yet."""
    stored = state.counts.chunks_stored
    if not policy.backup_after or stored < LEAST_USUAL or state.waiting:
        return None
    usual = state.chunk_seconds / stored
    candidates = [
        (work.sent, ticket)
        for ticket, work in state.in_flight.items()
        if not work.copied and not work.tries and now - work.sent > policy.backup_after * usual
    ]
    return min(candidates)[1] if candidates else None


def _sent(state: State, event: Sent, now: float) -> State:
    waiting = tuple(other for other in state.waiting if other is not event.work)
    in_flight = {**state.in_flight, event.ticket: replace(event.work, sent=now)}
    if event.copy_of is None:
        return replace(state, waiting=waiting, in_flight=in_flight)
    for ticket in (event.ticket, event.copy_of):
        in_flight[ticket] = replace(in_flight[ticket], copied=True)
    twins = {**state.twins, event.ticket: event.copy_of, event.copy_of: event.ticket}
    return replace(_counted(state, backups=1), waiting=waiting, in_flight=in_flight, twins=twins)


def _finished(state: State, event: Finished, policy: Policy, now: float) -> Decided:
    work = state.in_flight.get(event.ticket)
    if work is None:
        return state, (Say(f"chunk {event.task.chunk}: an outcome came late or twice; nothing changes", warning=False),)
    timed_out, twin = event.ticket in state.timed_out, state.twins.get(event.ticket)
    if isinstance(event.outcome, Receipt):
        return _stored(state, event.ticket, twin, work, event.outcome)
    state = replace(
        state,
        in_flight=_without(state.in_flight, {event.ticket}),
        timed_out=state.timed_out - {event.ticket},
        twins=_without(state.twins, {event.ticket, twin}),
    )
    if twin in state.in_flight:
        text = f"chunk {work.task.chunk} failed on {event.outcome.worker}; a copy of it is still on its way"
        return state, (Say(text),)
    return _failed(state, event, work, event.outcome, policy, now, timed_out=timed_out)


def _failed(
    state: State, event: Finished, work: Work, failure: Failure, policy: Policy, now: float, *, timed_out: bool
) -> Decided:
    if failure.kind == "storage" and not event.worker_lost:
        return _storage_failed(_back(state, work, now), failure.reason, policy, now)
    if timed_out and event.worker_lost:
        return _blamed(_counted(state, timeouts=1), work, _timeout(failure, policy), policy, now)
    if event.worker_lost:
        return _lost(state, event, work, failure, policy, now)
    return _blamed(state, work, failure, policy, now)


def _stored(state: State, ticket: int, twin: int | None, work: Work, receipt: Receipt) -> Decided:
    """A copy that is still on its way (twin) will come under a ticket that is not in flight any more."""
    counts = state.counts
    both = {ticket, twin}
    state = replace(
        state,
        in_flight=_without(state.in_flight, both),
        timed_out=state.timed_out - {ticket} if state.timed_out else state.timed_out,
        twins=_without(state.twins, both) if state.twins else state.twins,
        losses_in_a_row=0,
        storage_failures=0,
        storage_since=None,
        chunk_seconds=state.chunk_seconds + receipt.seconds,
        counts=replace(counts, chunks_stored=counts.chunks_stored + 1, rows_stored=counts.rows_stored + receipt.rows),
    )
    return state, (Store(work.task, receipt),)


def _timeout(failure: Failure, policy: Policy) -> Failure:
    return replace(failure, kind="timeout", reason=f"took longer than {policy.time_limit:g} s; its worker was ended")


def _lost(state: State, event: Finished, work: Work, failure: Failure, policy: Policy, now: float) -> Decided:
    if event.preempted or not event.started:
        cause = "its node was taken away" if event.preempted else "it had not begun when its worker was lost"
        return _back(state, work, now), (Say(f"chunk {work.task.chunk} goes back uncounted: {cause}"),)
    if now - state.last_loss >= policy.loss_pause:  # a node takes all its workers at once: that is one loss
        state = replace(state, losses_in_a_row=state.losses_in_a_row + 1, last_loss=now)
    if state.losses_in_a_row >= policy.losses_in_a_row:
        what = f"{state.losses_in_a_row} workers died in a row without one chunk stored; the last: {failure.reason}"
        mend = "look at the memory and the logs of the machines that run workers, then `apportion resume`"
        return _back(state, work, now), (Stop(what, mend),)
    pause = _pause(policy, state.losses_in_a_row)
    return _blamed(_counted(state, losses=1), work, failure, policy, now, pause=pause)


def _blamed(state: State, work: Work, failure: Failure, policy: Policy, now: float, *, pause: float = 0.0) -> Decided:
    """A counted failure: again elsewhere, or in parts, or recorded."""
    tries = work.tries + 1
    blamed = replace(work, tries=tries, avoid=work.avoid | {failure.worker}, not_before=now + pause)
    name = f"chunk {work.task.chunk} ({work.task.rows} rows, attempt {work.task.attempt}) failed: {_short(failure)}"
    if work.task.rows == 1 and tries >= _tries_alone(failure, policy):
        return state, (SetAside(work.task, failure, work.task.attempt),)
    parts: tuple[Work, ...]
    if work.task.rows == 1 or (tries < policy.tries and not failure.guilty):
        parts, verdict = (_part(blamed, list(range(work.task.rows)), tries=tries),), f"try {tries + 1}, elsewhere"
    elif guilty := sorted({row for row in failure.guilty if 0 <= row < work.task.rows}):
        parts, verdict = _split_at(blamed, guilty), f"{len(guilty)} guilty rows are set alone"
    else:
        parts, verdict = _halves(blamed), "halved"
    state = replace(_counted(state, retries=1), waiting=state.waiting + parts)
    return state, (Say(f"{name}; {verdict}"),)


def _tries_alone(failure: Failure, policy: Policy) -> int:
    return policy.tries_alone if failure.kind == "died" else policy.tries


def _split_at(work: Work, guilty: list[int]) -> tuple[Work, ...]:
    innocent = [row for row in range(work.task.rows) if row not in set(guilty)]
    together = (_part(work, innocent, tries=0),) if innocent else ()
    return together + tuple(_part(work, [row], tries=1) for row in guilty)


def _halves(work: Work) -> tuple[Work, ...]:
    middle = work.task.rows // 2
    rows = list(range(work.task.rows))
    return _part(work, rows[:middle], tries=0), _part(work, rows[middle:], tries=0)


def _part(work: Work, rows: list[int], *, tries: int) -> Work:
    return replace(work, task=work.task.part(rows, attempt=work.task.attempt + 1), tries=tries)


def _back(state: State, work: Work, now: float) -> State:
    return replace(state, waiting=(replace(work, not_before=now), *state.waiting))


def _storage_failed(state: State, reason: str, policy: Policy, now: float) -> Decided:
    since = now if state.storage_since is None else state.storage_since
    if now - since >= policy.storage_patience:
        what = f"the store has refused every write for {now - since:.0f} s: {reason}"
        return state, (Stop(what, "mend the store (space, rights, network), then `apportion resume`", store=True),)
    if now < state.hold_until:  # others that were under way at the same failure: one pause for all
        return replace(state, storage_since=since), ()
    failures = state.storage_failures + 1
    pause = _pause(policy, failures)
    state = replace(state, storage_failures=failures, storage_since=since, hold_until=now + pause)
    return state, (Say(f"write {failures} failed ({reason}); pausing {pause:.0f} s"),)


def _recorded(state: State, event: Recorded, policy: Policy, now: float) -> Decided:
    if not event.error:
        where = f"chunk {event.action.task.chunk}: one row failed for good after {event.action.attempts} attempts"
        state = replace(state, storage_failures=0, storage_since=None)
        return _counted(state, rows_failed=1), (Say(f"{where}: {_short(event.action.failure)}"),)
    return _storage_failed(replace(state, unrecorded=(*state.unrecorded, event.action)), event.error, policy, now)


def _looked(state: State, event: Looked, policy: Policy, now: float) -> Decided:
    state, actions = _watch_workers(state, event, policy, now)
    if state.unrecorded and now >= state.hold_until:
        actions += state.unrecorded
        state = replace(state, unrecorded=())
    if policy.time_limit is None:
        return state, actions
    over = [
        running
        for running in event.running
        if running.since is not None
        and now - running.since > policy.time_limit
        and running.ticket in state.in_flight
        and running.ticket not in state.timed_out
    ]
    for running in over:
        text = (
            f"chunk {running.task.chunk} has been at {running.worker} for more than {policy.time_limit:g} s; ending it"
        )
        actions += (Say(text), Kill(running.worker))
    return replace(state, timed_out=state.timed_out | {running.ticket for running in over}), actions


def _watch_workers(state: State, event: Looked, policy: Policy, now: float) -> Decided:
    if event.workers:
        return replace(state, alone_since=None, note=_storage_note(state)), ()
    since = now if state.alone_since is None else state.alone_since
    state = replace(state, alone_since=since, note=f"waiting for workers for {now - since:.0f} s")
    if now - since >= policy.workers_patience:
        mend = "bring the cluster's nodes back (or wait longer), then `apportion resume`"
        return state, (Stop(f"no worker has been up for {now - since:.0f} s", mend),)
    if now - since < policy.reminder or now - state.reminded < policy.reminder:
        return state, ()
    text = f"no worker is up since {now - since:.0f} s; giving up after {policy.workers_patience:.0f} s"
    return replace(state, reminded=now), (Say(text),)


def _storage_note(state: State) -> str:
    return f"the store refuses writes ({state.storage_failures} in a row)" if state.storage_failures else ""


def _pause(policy: Policy, times: int) -> float:
    return min(policy.longest_pause, policy.loss_pause * 2.0 ** min(times - 1, 30))


def _short(failure: Failure) -> str:
    lines = failure.reason.strip().splitlines()
    return f"{failure.kind}: {lines[-1][:200] if lines else 'no reason given'}"


def _without(by_ticket: Mapping[int, Value], tickets: set[int | None]) -> dict[int, Value]:
    return {other: value for other, value in by_ticket.items() if other not in tickets}


def _counted(state: State, **more: int) -> State:
    counts = replace(state.counts, **{name: getattr(state.counts, name) + by for name, by in more.items()})
    return replace(state, counts=counts)
