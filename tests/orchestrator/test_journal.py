import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest

from orchestrator.tracking.journal import Journal, Pace, Unsendable
from orchestrator.tracking.metric_points import Moment, Thinning, metric_name

QUICK = Pace(every=0.01, longest=0.05)


class Server:
    """Takes points; `away` makes it fail, `vain` names runs that are refused for good."""

    def __init__(self):
        self.points = []
        self.calls = 0
        self.away = False
        self.vain = set()

    def send(self, run_id, points):
        self.calls += 1
        if self.away:
            raise OSError("connection refused")
        if run_id in self.vain:
            raise Unsendable("the run was deleted")
        self.points += points

    def of(self, key):
        return [(point.step, point.value) for point in self.points if point.key == key]


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_points_arrive_in_order_with_their_steps(tmp_path):
    server = Server()
    journal = Journal.open(tmp_path, server.send, say=print, pace=QUICK)
    for step in range(1, 51):
        journal.of("run-1").metrics(step, {"mean_loss/cross_entropy": step / 10})
    assert journal.close() == 0
    assert server.of("mean_loss/cross_entropy") == [(step, step / 10) for step in range(1, 51)]


def test_noting_never_waits_for_the_server(tmp_path):
    hang = Event()
    journal = Journal.open(tmp_path, lambda run_id, points: hang.wait(30), say=print, pace=QUICK)
    start = time.monotonic()
    for step in range(1, 401):
        journal.note("r", step, {"a": 1.0})
    assert time.monotonic() - start < 2
    start = time.monotonic()
    assert journal.close(timeout=0.3) > 0
    assert time.monotonic() - start < 3
    hang.set()


def test_one_batch_carries_what_came_in_the_meantime(tmp_path):
    server = Server()
    journal = Journal.open(tmp_path, server.send, say=print, pace=Pace(every=0.3))
    for step in range(1, 101):
        journal.note("r", step, {"a": 1.0, "b": 2.0})
    journal.close()
    assert server.calls <= 2
    assert len(server.points) == 200


def test_metrics_wait_on_disk_while_the_server_is_away_and_follow_when_it_is_back(tmp_path):
    server, said = Server(), []
    server.away = True
    journal = Journal.open(tmp_path, server.send, say=said.append, pace=QUICK)
    for step in range(1, 21):
        journal.note("r", step, {"a": float(step)})
        time.sleep(0.01)
    wait_for(lambda: server.calls > 3)
    assert journal.unsent() == 20
    server.away = False
    journal.note("r", 21, {"a": 21.0})
    wait_for(lambda: len(server.points) == 21)
    assert journal.close() == 0
    assert server.of("a") == [(step, float(step)) for step in range(1, 22)]
    assert len(said) == 2
    assert "away" in said[0]
    assert "back" in said[1]


def test_closing_while_the_server_is_away_keeps_the_rest_for_the_next_driver(tmp_path):
    server = Server()
    server.away = True
    journal = Journal.open(tmp_path, server.send, say=lambda text: None, pace=QUICK)
    journal.note("r", 1, {"a": 1.0})
    assert journal.close(timeout=0.2) == 1
    server.away = False
    assert Journal.open(tmp_path, server.send, say=print, pace=QUICK).close() == 0
    assert server.of("a") == [(1, 1.0)]


def test_points_of_a_deleted_run_are_dropped_and_hold_nothing_up(tmp_path):
    server, said = Server(), []
    server.vain = {"gone"}
    journal = Journal.open(tmp_path, server.send, say=said.append, pace=QUICK)
    journal.note("gone", 1, {"a": 1.0})
    journal.note("here", 1, {"a": 2.0})
    assert journal.close() == 0
    assert [point.run_id for point in server.points] == ["here"]
    assert "run gone are dropped" in said[0]


@pytest.mark.parametrize(
    "tail", [b'{"run": "r", "st', b"\xff\xfe", b"{}\n", b"null\n", b'{"run":1,"step":"x"}\n', b"\n\n"]
)
def test_a_torn_or_foreign_line_is_passed_over(tmp_path, tail):
    whole = Moment("r", 1, 123, {"a": 1.0}).line()
    (tmp_path / "metrics.jsonl").write_bytes(whole + tail)
    server = Server()
    journal = Journal.open(tmp_path, server.send, say=print, pace=QUICK)
    journal.note("r", 2, {"a": 2.0})
    assert journal.close() == 0
    assert server.of("a") == [(1, 1.0), (2, 2.0)]
    assert server.points[0].time == 123


@pytest.mark.parametrize("mark", ["x", "-3", "999999", ""])
def test_a_damaged_mark_only_means_that_points_are_sent_again(tmp_path, mark):
    (tmp_path / "metrics.jsonl").write_bytes(Moment("r", 1, 123, {"a": 1.0}).line())
    (tmp_path / "metrics.sent").write_text(mark)
    server = Server()
    assert Journal.open(tmp_path, server.send, say=print, pace=QUICK).close() == 0
    assert server.of("a") == [(1, 1.0)]


def test_what_a_killed_driver_had_noted_reaches_mlflow_with_its_own_times(tracker, fingerprints, tmp_path):
    run_id = tracker.job_run(fingerprints=fingerprints).run_id
    script = """
import os, sys
from pathlib import Path
from orchestrator.tracking.journal import Journal
journal = Journal.open(Path(sys.argv[1]), lambda run_id, points: None)
for step in range(1, 101):
    journal.note(sys.argv[2], step, {"a": float(step)})
os._exit(137)
"""
    before = time.time() * 1000
    command = [sys.executable, "-c", script, str(tmp_path / "journal"), run_id]
    assert subprocess.run(command, timeout=60, check=False).returncode == 137
    after = time.time() * 1000
    time.sleep(0.05)
    assert Journal.open(tmp_path / "journal", tracker.send).close() == 0
    history = tracker._client.get_metric_history(run_id, "a")
    assert tracker.latest_metrics(run_id) == {"a": 100.0}
    assert sorted((metric.step, metric.value) for metric in history) == [(step, float(step)) for step in range(1, 101)]
    assert all(before - 1 <= metric.timestamp <= after for metric in history)


def test_points_sent_twice_stand_in_mlflow_once(tracker, fingerprints, tmp_path):
    run_id = tracker.job_run(fingerprints=fingerprints).run_id
    (tmp_path / "metrics.jsonl").write_bytes(
        b"".join(Moment(run_id, step, 5, {"a": 1.5}).line() for step in range(1, 31))
    )
    for _ in range(2):
        assert Journal.open(tmp_path, tracker.send, pace=QUICK).close() == 0
        (tmp_path / "metrics.sent").unlink()
    assert len(tracker._client.get_metric_history(run_id, "a")) == 30


def test_mlflow_refuses_points_of_a_deleted_run_for_good(tracker, fingerprints):
    run_id = tracker.job_run(fingerprints=fingerprints).run_id
    tracker._client.delete_run(run_id)
    with pytest.raises(Unsendable):
        tracker.send(run_id, Moment(run_id, 1, 5, {"a": 1.0}).points())


@pytest.mark.parametrize(("last", "by"), [(500, 1), (20_000, 1), (20_000, 7), (1_000_000, 50)])
def test_at_most_a_thousand_points_are_kept_of_a_metric_and_enough_to_see_it(last, by):
    thinning = Thinning()
    steps = [step for step in range(1, last + 1, by) if thinning.keep(Moment("r", step, 0, {"a": 1.0})).metrics]
    assert len(steps) <= 1000
    assert len(steps) >= min(250, last // by // 2)
    gaps = [(after - step) / after for step, after in itertools.pairwise(steps) if step > 500 * by]
    assert max(gaps, default=0) < 0.06


def test_a_metric_noted_rarely_is_not_thinned_by_one_noted_often():
    thinning = Thinning()
    for step in range(1, 30_001):
        thinning.keep(Moment("r", step, 0, {"often": 1.0}))
    assert thinning.keep(Moment("r", 30_001, 0, {"often": 1.0, "rare": 2.0})).metrics == {"rare": 2.0}
    assert set(thinning.keep(Moment("r", 30_002, 0, {"often": 1.0}), last=True).metrics) == {"often"}


def test_a_successor_counts_the_points_of_its_predecessors(tmp_path):
    for _ in range(3):
        server = Server()
        journal = Journal.open(tmp_path, server.send, say=print, limit=20, pace=QUICK)
        for step in range(1, 2000):
            journal.note("r", step, {"a": 1.0})
        journal.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) <= 20
    assert len({line["step"] for line in lines}) == len(lines)


def test_what_is_no_number_is_no_point(tmp_path):
    server = Server()
    journal = Journal.open(tmp_path, server.send, say=print, pace=QUICK)
    journal.note("r", 1, {"nan": float("nan"), "inf": float("inf"), "a": 1.0})
    journal.close()
    assert [point.key for point in server.points] == ["a"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_metrics_and_no_training(tmp_path):
    said = []
    journal = Journal.open(tmp_path, Server().send, say=said.append, pace=QUICK)
    journal._stream.close()
    journal._stream = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115 - closed by the journal
    journal.note("r", 1, {"a": 1.0})
    journal.close()
    assert "cannot be noted" in said[0]


def test_names_of_metrics_hold_what_mlflow_takes():
    assert metric_name("mean_loss", "cross_entropy") == "mean_loss/cross_entropy"
    assert metric_name("mean_loss", "../mine & yours?") == "mean_loss/_mine _ yours_"
    assert len(metric_name("a", "b" * 400)) <= 250
    assert metric_name("a", "..") == "a/_"
