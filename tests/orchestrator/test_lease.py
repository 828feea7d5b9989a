import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lease_process import FAST, FolderBoard

from orchestrator.errors import ServerAway, StoreRefused
from orchestrator.tracking.lease import Lease, Timing, leader
from orchestrator.tracking.lease_owner import Owner, gone, owner_of, started, this_process
from orchestrator.tracking.patience import Patience

SCRIPT = Path(__file__).with_name("lease_process.py")


@pytest.fixture
def drivers():
    """Starts drivers, and ends by id those that still live."""
    running = []

    def start(folder, *words):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(SCRIPT), str(folder), *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        running.append(process)
        return process

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
        process.stdout.close()


def take(folder, *, lock=False, host=None, timing=FAST):
    return Lease.take(
        FolderBoard(folder), job="mnist", lock_file=folder / "job.lock" if lock else None, host=host, timing=timing
    )


@pytest.mark.parametrize("lock", [True, False])
def test_a_second_driver_is_refused_and_told_who_leads(tmp_path, drivers, lock):
    holder = drivers(tmp_path, *(["--lock"] if lock else []))
    assert holder.stdout.readline() == "held\n"
    assert leader(FolderBoard(tmp_path)).pid == holder.pid
    with pytest.raises(StoreRefused) as caught:
        take(tmp_path, lock=lock)
    assert caught.value.exit_code == 5
    assert f"process {holder.pid} on {socket.gethostname()}" in str(caught.value)
    assert "last sign of life" in str(caught.value)
    assert f"kill {holder.pid}" in str(caught.value)


@pytest.mark.parametrize("lock", [True, False])
def test_a_killed_driver_of_this_machine_is_succeeded_at_once(tmp_path, drivers, lock):
    holder = drivers(tmp_path, *(["--lock"] if lock else []))
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    # The dead process is not even waited for: a zombie leads no job.
    wait_until(lambda: started(holder.pid) is None)
    assert leader(FolderBoard(tmp_path)) is None
    start = time.monotonic()
    with take(tmp_path, lock=lock, timing=Timing()):
        assert time.monotonic() - start < 1
        assert len(claims(tmp_path)) == 1


@pytest.mark.parametrize("lock", [True, False])
def test_a_suspended_driver_of_this_machine_keeps_its_lease(tmp_path, drivers, lock):
    holder = drivers(tmp_path, *(["--lock"] if lock else []))
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    time.sleep(FAST.expiry + 0.3)
    with pytest.raises(StoreRefused, match="kill -9"):
        take(tmp_path, lock=lock)
    holder.send_signal(signal.SIGCONT)
    holder.kill()


def test_a_driver_elsewhere_that_fell_silent_is_succeeded_and_stands_down_when_it_wakes(tmp_path, drivers):
    holder = drivers(tmp_path, "elsewhere")
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreRefused, match="on elsewhere, last sign of life"):
        take(tmp_path)
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreRefused):
        take(tmp_path)
    time.sleep(FAST.expiry)
    successor = take(tmp_path)
    holder.send_signal(signal.SIGCONT)
    assert holder.stdout.readline() == "lost\n"
    time.sleep(3 * FAST.beat)
    assert not successor.lost()
    successor.release()
    assert claims(tmp_path) == []


def test_of_many_drivers_that_start_at_once_one_leads(tmp_path, drivers):
    started_together = [drivers(tmp_path) for _ in range(5)]
    answers = [process.stdout.readline().split()[0] for process in started_together]
    assert sorted(answers) == ["held"] + ["refused"] * 4


class SlowBoard:
    """A linearisable board whose answers take a random while, before and after."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.texts = {}

    def _turn(self, act):
        time.sleep(self.random.random() * 0.004)
        with self.lock:
            answer = act()
        time.sleep(self.random.random() * 0.004)
        return answer

    def claims(self):
        return self._turn(lambda: dict(self.texts))

    def write(self, token, text):
        self._turn(lambda: self.texts.__setitem__(token, text))

    def delete(self, token):
        self._turn(lambda: self.texts.pop(token, None))


@pytest.mark.parametrize("seed", range(15))
def test_never_two_lead_whatever_the_order_of_reads_and_writes(seed):
    board, held, errors = SlowBoard(seed), [], []
    timing = Timing(beat=0.05, settle=0.005, patience=2.0)

    def drive(number):
        time.sleep(board.random.random() * 0.01)
        try:
            held.append(Lease.take(board, job="job", host=f"host-{number}", timing=timing))
        except StoreRefused as refused:
            errors.append(refused)

    threads = [threading.Thread(target=drive, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(held) == 1
    assert len(errors) == 3
    assert not held[0].lost()
    held[0].release()
    assert set(board.texts) == {"term"}


def test_a_silent_claim_is_watched_first_so_that_a_wrong_clock_loses_no_lease(tmp_path):
    board = FolderBoard(tmp_path)
    alive = threading.Event()

    def beat_with_a_clock_that_is_a_day_late():
        owner = make_owner("elsewhere", beat=time.time() - 86_400)
        while not alive.wait(0.05):
            owner = owner.alive(beat=time.time() - 86_400)
            board.write(owner.token, owner.text())

    board.write("t", make_owner("elsewhere", beat=time.time() - 86_400).text())
    thread = threading.Thread(target=beat_with_a_clock_that_is_a_day_late)
    thread.start()
    time.sleep(0.1)
    with pytest.raises(StoreRefused, match="elsewhere"):
        take(tmp_path)
    alive.set()
    thread.join()
    take(tmp_path).release()


def test_a_dead_claim_with_a_clock_ahead_ends_as_well(tmp_path):
    FolderBoard(tmp_path).write("t", make_owner("elsewhere", beat=time.time() + 86_400).text())
    start = time.monotonic()
    take(tmp_path).release()
    assert FAST.expiry * 0.8 < time.monotonic() - start < 10


def test_a_holder_that_overslept_two_successors_still_finds_itself_behind(tmp_path):
    board = FolderBoard(tmp_path)
    first = take(tmp_path, host="a")
    asleep = first._owner
    board.delete(asleep.token)
    for host in ("b", "c"):
        successor = take(tmp_path, host=host)
        if host == "b":
            successor.release()
    board.write(asleep.token, asleep.text())  # the write that was under way when it fell asleep
    wait_until(first.lost)
    with pytest.raises(StoreRefused, match="has taken the job over"):
        first.check()
    assert not successor.lost()
    first.release()
    successor.release()


def test_the_lease_outlives_a_board_that_is_away(tmp_path):
    lease = take(tmp_path)
    whole = lease._board
    lease._board = AwayBoard()
    time.sleep(4 * FAST.beat)
    assert not lease.lost()
    lease.check()
    lease._board = whole
    time.sleep(3 * FAST.beat)
    assert not lease.lost()
    lease.release()
    lease.release()


class AwayBoard:
    def claims(self):
        raise OSError("connection refused")

    def write(self, token, text):
        raise OSError("connection refused")

    def delete(self, token):
        raise OSError("connection refused")


def test_a_released_lease_is_free_at_once(tmp_path):
    for _ in range(3):
        with take(tmp_path, lock=True), pytest.raises(StoreRefused):
            take(tmp_path, lock=True)


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", "torn {", '{"token": 1, "surprise": 2}'])
def test_what_is_no_claim_stands_in_nobodys_way(tmp_path, text):
    FolderBoard(tmp_path).write("foreign", text)
    take(tmp_path).release()


def test_a_process_id_that_was_given_to_another_process_leads_nothing():
    here = this_process(beat=0.0)
    assert not gone(here, here=here)
    reused = Owner(token="t", host=here.host, machine=here.machine, pid=here.pid, started="1", beat=0.0)
    assert gone(reused, here=here)
    elsewhere = Owner(token="t", host=here.host, machine="another boot", pid=2**22 + 1, started="1", beat=0.0)
    assert not gone(elsewhere, here=here)


def test_on_mlflow_the_lease_is_a_tag_of_the_experiment_and_leaves_with_it(tracker):
    with tracker.lease(timing=FAST) as lease:
        time.sleep(3 * FAST.beat)
        tags = tracker._client.get_experiment(tracker.experiment_id).tags
        records = [owner_of(text) for key, text in tags.items() if key.startswith("apportion.lease.")]
        held = [record for record in records if record is not None]
        assert [(record.pid, record.held) for record in held] == [(os.getpid(), True)]
        assert held[0].beats > 0
        assert not lease.lost()
        assert (holder := leader(tracker.board())) is not None
        assert (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
        with pytest.raises(StoreRefused, match=f"process {os.getpid()}"):
            tracker.lease()
    assert leader(tracker.board()) is None
    tags = tracker._client.get_experiment(tracker.experiment_id).tags
    assert {key for key in tags if key.startswith("apportion.lease.")} == {"apportion.lease.term"}


def make_owner(host, *, beat):
    return Owner(token="t", host=host, machine=host, pid=1, started="1", beat=beat, term=1, held=True)


def claims(folder):
    return [token for token in FolderBoard(folder).claims() if token != "term"]


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class AbsentBoard(FolderBoard):
    """Goes away for some calls before each answer."""

    def __init__(self, folder: Path, away: int) -> None:
        super().__init__(folder)
        self._times, self._left = away, away

    def _meets(self) -> None:
        if self._left:
            self._left -= 1
            raise ServerAway("the board does not answer")
        self._left = self._times

    def claims(self) -> dict[str, str]:
        self._meets()
        return super().claims()

    def write(self, token: str, text: str) -> None:
        self._meets()
        super().write(token, text)


def test_a_board_that_goes_away_while_the_claim_is_made_is_waited_for_and_one_claim_stands(tmp_path):
    said = []
    board = AbsentBoard(tmp_path, away=2)
    with pytest.raises(ServerAway):
        Lease.take(board, job="mnist", timing=FAST)
    patience = Patience(said.append, pause=0.0, sleep=lambda seconds: None)
    with Lease.take(board, job="mnist", timing=FAST, patience=patience) as lease:
        assert len(claims(tmp_path)) == 1
        assert not lease.lost()
    assert sum("waiting for the store" in text for text in said) == sum("is back" in text for text in said) >= 4
