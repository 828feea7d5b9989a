"""Hundreds of seeded schedules through the driver's loop: deaths, hangs, lost nodes, outages, double answers."""

import math

import numpy as np
import pytest
from simulated_cluster import Clock, Ledger, SimulatedPool, Weather, chunk_of, key_number

from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.errors import ResourceMissing
from workers.errors import StoreError

SCHEDULES = 400
KINDS = ("death", "hang", "non_finite", "exception", "out_of_memory", "wrong_shape")


def campaign(chunks, rows):
    return [chunk_of(number, rows, first_key=number * rows) for number in range(chunks)]


def run(weather, *, seed=0, chunks=6, rows=8, workers=3, policy=None, stopping=lambda: 0):
    clock = Clock()
    pool = SimulatedPool(seed, clock, weather, workers=workers)
    ledger = Ledger(clock, weather.outages)
    policy = Policy(time_limit=60.0, losses_in_a_row=1000) if policy is None else policy
    summary = carry_out(iter(campaign(chunks, rows)), pool, ledger, policy=policy, clock=clock, stopping=stopping)
    return summary, ledger, pool, clock


def weather_of(seed, rows):
    rng = np.random.default_rng([seed, 1])
    guilty = rng.choice(rows, size=int(rng.integers(0, 4)), replace=False)
    start = float(rng.uniform(0, 5))
    return Weather(
        faults={int(row): KINDS[int(rng.integers(len(KINDS)))] for row in guilty},
        death=float(rng.choice([0.0, 0.03])),
        death_after_store=float(rng.choice([0.0, 0.03])),
        double=float(rng.choice([0.0, 0.2])),
        node_loss=float(rng.choice([0.0, 0.02])),
        outages=((start, start + float(rng.uniform(1, 100))),) if rng.random() < 0.3 else (),
        preempted=bool(rng.random() < 0.5),
        slow=float(rng.choice([0.0, 0.1])),
    )


@pytest.mark.parametrize("block", range(4))
def test_under_any_schedule_each_row_has_one_outcome_and_only_guilty_rows_fail(block):
    for seed in range(block * SCHEDULES // 4, (block + 1) * SCHEDULES // 4):
        rng = np.random.default_rng([seed, 0])
        chunks, rows, workers = int(rng.integers(1, 9)), int(rng.integers(4, 20)), int(rng.integers(1, 6))
        weather = weather_of(seed, chunks * rows)
        summary, ledger, pool, clock = run(weather, seed=seed, chunks=chunks, rows=rows, workers=workers)

        words = f"seed {seed}: {chunks} chunks of {rows} on {workers} workers, {weather}"
        stored, failed = set(ledger.stored_rows), set(ledger.failed_rows)
        planned = {key for task in campaign(chunks, rows) for key in task.keys}
        assert stored | failed == planned, words
        assert not stored & failed, words
        assert {*ledger.stored_rows.values(), *ledger.failed_rows.values()} == {1}, words
        assert {key_number(key) for key in failed} == set(weather.faults), words
        assert stored <= set(pool.in_store), words
        assert max(task.attempt for task in pool.submitted) <= 2 * math.ceil(math.log2(rows)) + 3 + 6, words
        assert not summary.interrupted, words
        assert summary.counts.rows_stored == len(stored), words
        assert summary.counts.rows_failed == len(failed), words
        assert clock.now < 4000, words


@pytest.mark.parametrize(
    ("kind", "recorded"),
    [("death", "died"), ("hang", "timeout"), *((kind, kind) for kind in KINDS[2:])],
)
def test_a_guilty_row_fails_alone_with_its_reason_within_the_bound_of_attempts(kind, recorded):
    _, ledger, pool, _ = run(Weather(faults={11: kind}), chunks=2, rows=16)
    failure, attempts = ledger.failures[11]
    assert failure.kind == recorded
    assert attempts <= 2 * math.ceil(math.log2(16)) + 3
    assert len(ledger.stored_rows) == 31
    assert len(pool.submitted) <= 2 + 3 * math.ceil(math.log2(16)) + 3


def test_without_faults_each_chunk_is_sent_once():
    summary, _, pool, _ = run(Weather(), chunks=50)
    assert len(pool.submitted) == 50
    assert summary.counts.retries == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_last_chunks_of_a_worker_ten_times_slower_are_copied_to_idle_ones(seed):
    _, _, _, without = run(Weather(), chunks=40, workers=4, seed=seed)
    summary, ledger, _, clock = run(Weather(straggler="w1"), chunks=40, workers=4, seed=seed)
    _, _, _, uncopied = run(
        Weather(straggler="w1"), chunks=40, workers=4, seed=seed, policy=Policy(time_limit=60.0, backup_after=0.0)
    )
    assert clock.now <= 1.5 * without.now
    assert uncopied.now > 1.5 * without.now
    assert summary.counts.backups >= 1
    assert summary.counts.chunks_stored == 40
    assert set(ledger.stored_rows.values()) == {1}
    assert len(ledger.stored_rows) == 320


def test_a_chunk_that_hangs_is_copied_once_and_blamed_once():
    summary, ledger, _, _ = run(Weather(faults={317: "hang"}), chunks=40, workers=4)
    assert summary.counts.backups <= 1
    assert ledger.failures[317][0].kind == "timeout"
    assert ledger.failures[317][1] <= 2 * math.ceil(math.log2(8)) + 3
    assert len(ledger.stored_rows) == 319


def test_rows_that_the_worker_names_are_set_alone_at_once():
    _, _, pool, _ = run(Weather(faults={3: "non_finite", 5: "non_finite"}), chunks=1, rows=64)
    assert sorted(task.rows for task in pool.submitted) == [1, 1, 62, 64]


def test_an_outage_of_the_store_costs_no_row_and_a_pause_for_all():
    summary, ledger, pool, clock = run(Weather(outages=((0.0, 120.0),)), chunks=6)
    assert not ledger.failed_rows
    assert summary.counts.rows_stored == 48
    assert 120 < clock.now < 200
    assert len(pool.submitted) < 6 + 20
    assert any("refuses" in progress.note for _, progress in ledger.ticks)


def test_a_store_that_never_comes_back_stops_the_campaign():
    with pytest.raises(StoreError, match="no space left"):
        run(Weather(outages=((0.0, math.inf),)))


def test_workers_that_all_die_stop_the_campaign_before_every_row_is_blamed():
    weather = Weather(faults=dict.fromkeys(range(100 * 8), "death"))
    with pytest.raises(ResourceMissing, match="50 workers died in a row"):
        run(weather, chunks=100, policy=Policy())


def test_a_node_taken_away_with_notice_counts_no_attempt():
    summary, ledger, _, _ = run(Weather(node_loss=0.3, preempted=True), chunks=20, seed=3)
    assert not ledger.failed_rows
    assert summary.counts.losses == 0
    assert summary.counts.rows_stored == 160


def test_no_worker_for_long_is_said_and_then_ends_the_campaign():
    class Deserted(SimulatedPool):
        def workers(self):
            return []

        def free(self):
            return 0

    clock = Clock()
    ledger = Ledger(clock)
    pool = Deserted(0, clock, Weather())
    with pytest.raises(ResourceMissing, match="no worker has been up for 90 s"):
        carry_out(
            iter(campaign(2, 4)), pool, ledger, policy=Policy(workers_patience=90), clock=clock, stopping=lambda: 0
        )
    assert "waiting for workers" in ledger.ticks[-1][1].note


def test_a_request_to_stop_lets_chunks_in_flight_finish_and_hands_out_no_more():
    asked = []

    def stopping():
        asked.append(0)
        return 0 if len(asked) < 10 else 1

    summary, ledger, pool, _ = run(Weather(), chunks=100, stopping=stopping)
    assert summary.interrupted
    assert summary.rows_abandoned == 0
    assert len(ledger.stored_rows) == 8 * len(pool.submitted) < 800


def test_a_request_to_stop_waits_no_longer_than_the_grace():
    weather = Weather(faults={0: "hang"})
    summary, _, _, clock = run(
        weather,
        policy=Policy(grace=30),
        chunks=2,
        stopping=lambda clock=[0]: 1 if clock.append(0) or len(clock) > 20 else 0,
    )
    assert summary.interrupted
    assert summary.rows_abandoned == 8
    assert clock.now < 40


def test_a_second_request_leaves_at_once():
    asked = []
    summary, _, _, clock = run(Weather(), chunks=100, stopping=lambda: 2 if asked.append(0) or len(asked) > 5 else 0)
    assert summary.interrupted
    assert summary.rows_abandoned > 0
    assert clock.now < 5


def test_progress_is_told_at_least_every_half_second():
    _, ledger, _, _ = run(Weather(faults={4: "hang"}), chunks=30)
    times = [time for time, _ in ledger.ticks]
    assert max(np.diff(times)) <= 0.5


def test_the_same_seed_replays_the_same_campaign():
    weather = weather_of(17, 48)
    first, second = (run(weather, seed=17) for _ in range(2))
    assert [task.keys for task in first[2].submitted] == [task.keys for task in second[2].submitted]
    assert first[0] == second[0]
