"""The driver's decisions as tables: a state, an event, and what follows."""

from dataclasses import replace

import pytest
from simulated_cluster import chunk_of, key_number

from orchestrator.driver.decide import decide, may_begin, may_send, next_waiting
from orchestrator.driver.driver_state import (
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
from orchestrator.driver.pool import Finished, Running
from workers.outcomes import Failure, Receipt

POLICY = Policy(time_limit=100.0)


def sent(work, ticket=1):
    return decide(State(), Sent(ticket, work), policy=POLICY, now=0.0)[0]


def failure(kind, *guilty, worker="w1", reason="because"):
    return Failure(0, kind, reason, worker, guilty=guilty)


def receipt(rows=4):
    return Receipt(0, "name", "", rows, 1, 0.1, "w1", "class")


def after(work, outcome, *, state=None, now=10.0, policy=POLICY, **flags):
    state = sent(work) if state is None else state
    return decide(state, Finished(1, work.task, outcome, **flags), policy=policy, now=now)


def doing(actions):
    return [action for action in actions if not isinstance(action, Say)]


def rows_waiting(state):
    return [[key_number(key) for key in work.task.keys] for work in state.waiting]


def test_a_receipt_is_recorded_and_forgotten():
    work = Work(chunk_of(0, 4))
    state, actions = after(work, receipt())
    assert doing(actions) == [Store(work.task, receipt())]
    assert state.idle
    assert state.counts.rows_stored == 4


@pytest.mark.parametrize("kind", ["exception", "out_of_memory", "wrong_shape", "non_finite"])
def test_a_first_failure_is_tried_again_elsewhere(kind):
    state, actions = after(Work(chunk_of(0, 4)), failure(kind))
    [again] = state.waiting
    assert again.task.keys == chunk_of(0, 4).keys
    assert again.task.attempt == 2
    assert again.avoid == {"w1"}
    assert not doing(actions)


@pytest.mark.parametrize(("rows", "halves"), [(4, [[0, 1], [2, 3]]), (5, [[0, 1], [2, 3, 4]]), (2, [[0], [1]])])
def test_a_second_failure_halves_the_chunk_and_counts_anew(rows, halves):
    state, _ = after(Work(chunk_of(0, rows), tries=1), failure("exception"))
    assert rows_waiting(state) == halves
    assert [work.tries for work in state.waiting] == [0, 0]


@pytest.mark.parametrize(
    ("guilty", "parts"),
    [
        ((2,), [[0, 1, 3], [2]]),
        ((0, 3), [[1, 2], [0], [3]]),
        ((0, 1, 2, 3), [[0], [1], [2], [3]]),
        ((3, 3, 9, -1), [[0, 1, 2], [3]]),
    ],
)
def test_rows_named_guilty_are_set_alone_at_once(guilty, parts):
    state, _ = after(Work(chunk_of(0, 4)), failure("non_finite", *guilty))
    assert rows_waiting(state) == parts


def test_rows_named_guilty_that_are_none_of_the_chunks_count_as_unnamed():
    state, _ = after(Work(chunk_of(0, 4), tries=1), failure("non_finite", 17))
    assert rows_waiting(state) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("kind", "tries", "recorded"),
    [
        ("exception", 0, False),
        ("exception", 1, True),
        ("non_finite", 1, True),
        ("timeout", 1, True),
        ("died", 1, False),
        ("died", 2, True),
    ],
)
def test_a_row_that_fails_alone_is_recorded_after_its_tries(kind, tries, recorded):
    task = replace(chunk_of(0, 1), attempt=7)
    state, actions = after(Work(task, tries=tries), failure(kind, 0), worker_lost=kind == "died")
    assert doing(actions) == ([SetAside(task, failure(kind, 0), 7)] if recorded else [])
    assert len(state.waiting) == (not recorded)


def test_a_lost_worker_sends_its_chunk_back_after_a_pause_that_grows_and_ends():
    pauses, state, now = [], State(), 0.0
    for _ in range(8):
        work = Work(chunk_of(0, 4))
        state, _ = decide(state, Sent(1, work), policy=POLICY, now=now)
        state, _ = after(work, failure("died"), state=state, now=now, worker_lost=True)
        pauses.append(state.waiting[0].not_before - now)
        assert next_waiting(state, now=now) is None
        assert next_waiting(state, now=now + pauses[-1]) is not None
        state, now = replace(state, waiting=()), now + 100
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("flags", [{"preempted": True}, {"started": False}])
def test_a_loss_that_is_not_the_chunks_fault_counts_no_try(flags):
    work = Work(chunk_of(0, 4), tries=1)
    state, _ = after(work, failure("died"), worker_lost=True, **flags)
    [again] = state.waiting
    assert (again.tries, again.task.attempt, again.avoid) == (1, 1, frozenset())
    assert state.losses_in_a_row == 0


def test_workers_lost_at_one_moment_count_as_one_loss():
    state = State()
    for ticket in range(60):
        state, _ = decide(state, Sent(ticket, Work(chunk_of(ticket, 4))), policy=POLICY, now=0.0)
    for ticket in range(60):
        event = Finished(ticket, chunk_of(ticket, 4), failure("died"), worker_lost=True)
        state, actions = decide(state, event, policy=POLICY, now=5.0 + ticket / 1000)
        assert not doing(actions)
    assert state.losses_in_a_row == 1
    assert state.counts.losses == 60


def test_a_loss_after_which_a_receipt_comes_starts_the_count_anew():
    state, _ = after(Work(chunk_of(0, 4)), failure("died"), worker_lost=True)
    work = Work(chunk_of(1, 4))
    state, _ = decide(state, Sent(1, work), policy=POLICY, now=11.0)
    state, _ = after(work, receipt(), state=state)
    assert state.losses_in_a_row == 0


@pytest.mark.parametrize(("since", "killed"), [(None, False), (10.0, False), (9.0, True)])
def test_only_the_first_of_a_worker_runs_out_of_time(since, killed):
    work = Work(chunk_of(0, 4))
    look = Looked((Running(1, work.task, "w1", since),), ("w1",))
    state, actions = decide(sent(work), look, policy=POLICY, now=110.0)
    assert doing(actions) == ([Kill("w1")] if killed else [])
    assert state.timed_out == ({1} if killed else set())


def test_a_worker_is_ended_once_for_one_chunk():
    work = Work(chunk_of(0, 4))
    look = Looked((Running(1, work.task, "w1", 0.0),), ("w1",))
    state, _ = decide(sent(work), look, policy=POLICY, now=110.0)
    _, actions = decide(state, look, policy=POLICY, now=111.0)
    assert not actions


def test_a_chunk_whose_worker_was_ended_fails_by_timeout_and_is_no_loss():
    work = Work(chunk_of(0, 1), tries=1)
    state = replace(sent(work), timed_out=frozenset({1}))
    state, actions = after(work, failure("died"), state=state, worker_lost=True)
    [aside] = doing(actions)
    assert aside.failure.kind == "timeout"
    assert "100 s" in aside.failure.reason
    assert (state.counts.timeouts, state.counts.losses, state.timed_out) == (1, 0, frozenset())


def test_a_receipt_that_comes_after_its_worker_was_ended_still_counts():
    work = Work(chunk_of(0, 4))
    _, actions = after(work, receipt(), state=replace(sent(work), timed_out=frozenset({1})))
    assert doing(actions) == [Store(work.task, receipt())]


@pytest.mark.parametrize("outcome", [receipt(), failure("exception"), failure("storage")])
def test_an_outcome_under_a_ticket_that_is_not_in_flight_changes_nothing(outcome):
    state = sent(Work(chunk_of(0, 4)))
    for lost in (False, True):
        event = Finished(99, chunk_of(0, 4), outcome, worker_lost=lost)
        same, actions = decide(state, event, policy=POLICY, now=1.0)
        assert same == state
        assert not doing(actions)


def test_a_failed_write_pauses_everything_and_then_lets_one_chunk_try():
    work = Work(chunk_of(0, 4))
    state, _ = after(work, failure("storage", reason="disk full"))
    assert state.waiting[0].tries == 0
    assert state.waiting[0].task.attempt == 1
    assert not may_send(state, now=10.5)
    assert may_send(state, now=11.0)
    state, _ = decide(state, Sent(2, state.waiting[0]), policy=POLICY, now=11.0)
    assert not may_send(state, now=11.0)
    state, _ = decide(state, Finished(2, work.task, receipt()), policy=POLICY, now=12.0)
    assert state.storage_failures == 0
    assert may_send(state, now=12.0)


def test_failed_writes_of_one_moment_make_one_pause():
    state = State()
    for ticket in range(5):
        state, _ = decide(state, Sent(ticket, Work(chunk_of(ticket, 4))), policy=POLICY, now=0.0)
    for ticket in range(5):
        event = Finished(ticket, chunk_of(ticket, 4), failure("storage"))
        state, _ = decide(state, event, policy=POLICY, now=1.0)
    assert state.storage_failures == 1
    assert len(state.waiting) == 5


def test_a_failure_row_that_cannot_be_written_is_kept_and_tried_again():
    aside = SetAside(chunk_of(0, 1), failure("exception"), 4)
    state, _ = decide(State(), Recorded(aside, "disk full"), policy=POLICY, now=0.0)
    assert not state.idle
    assert state.counts.rows_failed == 0
    early, actions = decide(state, Looked((), ("w1",)), policy=POLICY, now=0.5)
    assert not actions
    late, actions = decide(early, Looked((), ("w1",)), policy=POLICY, now=1.0)
    assert actions == (aside,)
    done, _ = decide(late, Recorded(aside), policy=POLICY, now=1.0)
    assert done.idle
    assert done.counts.rows_failed == 1


def test_without_workers_the_driver_waits_says_so_and_stops():
    state, said, stopped = State(), [], []
    for now in range(0, 601, 10):
        state, actions = decide(state, Looked((), ()), policy=POLICY, now=float(now))
        said += [(now, action.text) for action in actions if isinstance(action, Say)]
        stopped += [(now, action) for action in actions if isinstance(action, Stop)]
    assert [now for now, _ in said] == list(range(30, 600, 30))
    assert [now for now, _ in stopped] == [600]


def test_a_worker_that_comes_back_starts_the_wait_anew():
    state, _ = decide(State(), Looked((), ()), policy=POLICY, now=0.0)
    state, _ = decide(state, Looked((), ("w1",)), policy=POLICY, now=500.0)
    state, _ = decide(state, Looked((), ()), policy=POLICY, now=600.0)
    _, actions = decide(state, Looked((), ()), policy=POLICY, now=1100.0)
    assert not [action for action in actions if isinstance(action, Stop)]


def test_no_fresh_chunk_is_begun_while_too_many_wait():
    waiting = tuple(Work(chunk_of(number, 1)) for number in range(3))
    assert not may_begin(State(waiting=waiting), policy=Policy(most_waiting=3))
    assert may_begin(State(waiting=waiting), policy=Policy(most_waiting=4))


def test_a_failure_row_that_is_written_ends_the_pause_of_the_store():
    aside = SetAside(chunk_of(0, 1), failure("exception"), 4)
    state, _ = decide(State(), Recorded(aside, "disk full"), policy=POLICY, now=0.0)
    state, _ = decide(replace(state, unrecorded=()), Recorded(aside), policy=POLICY, now=2.0)
    assert (state.storage_failures, state.storage_since) == (0, None)


@pytest.mark.parametrize(("now", "stops"), [(609.0, False), (611.0, True)])
def test_a_store_that_refuses_for_longer_than_the_patience_ends_the_campaign(now, stops):
    work = Work(chunk_of(0, 4))
    state, _ = after(work, failure("storage"), now=10.0)
    state, _ = decide(state, Sent(1, work), policy=POLICY, now=20.0)
    _, actions = after(work, failure("storage", reason="disk full"), state=state, now=now)
    assert [action.store for action in doing(actions)] == [True] * stops
