"""A driver waits for a store that goes away while a job is opened or closed: bounded, said once, ended by Ctrl-C."""

import signal

import pytest

from orchestrator.errors import Interrupted, ResourceMissing, ServerAway
from orchestrator.signals import StopRequest
from orchestrator.tracking.patience import NO_PATIENCE, Patience
from workers.errors import StoreAway, StoreError


class Clock:
    """Seconds that pass by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Server:
    """Answers from a second on; counts what it is asked."""

    def __init__(self, clock: Clock, back_at: float, error: Exception) -> None:
        self.clock, self.back_at, self.error, self.asked = clock, back_at, error, 0

    def __call__(self) -> str:
        self.asked += 1
        if self.clock.now < self.back_at:
            raise self.error
        return "here"


def waiting(clock: Clock, said: list[str], stopping: StopRequest | None = None, seconds: float = 600.0) -> Patience:
    return Patience(said.append, stopping, seconds=seconds, clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize("error", [StoreAway("PUT http://x: no connection\n    see"), ServerAway("the server fails")])
def test_it_asks_until_there_is_an_answer_and_says_so_twice(error):
    clock, said = Clock(), []
    server = Server(clock, back_at=63.0, error=error)
    assert waiting(clock, said)(server) == "here"
    assert 63 <= clock.now < 80
    assert server.asked < 12
    assert [text.split()[0:2] for text in said] == [["waiting", "for"], ["the", "store"]]
    assert "10 min" in said[0]
    assert str(error).partition("\n")[0] in said[0]


def test_it_gives_up_in_time_with_what_was_wrong_and_no_one_waits_a_second_time():
    clock, said = Clock(), []
    server = Server(clock, back_at=1e9, error=ServerAway("the server fails", mend="see that it runs"))
    outer = waiting(clock, said)
    with pytest.raises(ResourceMissing, match=r"the server fails \(waited for 10 min") as caught:
        outer(lambda: waiting(clock, said)(server))
    assert type(caught.value) is ResourceMissing
    assert 600 <= clock.now < 630
    assert caught.value.problems[0].mend == "see that it runs"


def test_what_will_not_pass_is_not_waited_for():
    clock, said = Clock(), []
    for error in (StoreError("damaged"), ResourceMissing("401"), ValueError("a bug")):
        with pytest.raises(type(error)):
            waiting(clock, said)(Server(clock, back_at=5.0, error=error))
    assert (clock.now, said) == (0.0, [])


def test_at_once_and_for_readers_nothing_is_waited_for():
    clock, said = Clock(), []
    patience = waiting(clock, said)
    with patience.at_once(), pytest.raises(ServerAway):
        patience(Server(clock, back_at=5.0, error=ServerAway("away")))
    assert patience(Server(clock, back_at=5.0, error=ServerAway("away"))) == "here"
    with pytest.raises(StoreAway):
        NO_PATIENCE(Server(Clock(), back_at=5.0, error=StoreAway("away")))


def test_a_signal_ends_the_waiting_with_its_own_exit_code():
    clock, said, request = Clock(), [], StopRequest()
    server = Server(clock, back_at=1e9, error=ServerAway("away"))

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now > 20:
            request.receive(signal.SIGTERM, None)

    with pytest.raises(Interrupted) as caught:
        Patience(said.append, request, clock=clock, sleep=sleep)(server)
    assert caught.value.exit_code == 143
    assert clock.now < 22
