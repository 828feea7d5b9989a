"""Progress lines: on a terminal one line that moves, in a log plain lines."""

import io

from orchestrator.progress import ProgressLine, Screen, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LINE = ProgressLine(campaign="banzhaf", done=600, planned=1017, spared=100, failures=2, seconds=50.0)


def test_a_line_says_done_planned_rate_time_left_and_failures() -> None:
    assert LINE.text() == "banzhaf: 600 of 1,017 retrains (59%)  10/s  42 s left  2 failed"


def test_a_terminal_line_moves_and_remarks_stand_on_their_own() -> None:
    stream = Terminal()
    screen = Screen(stream)
    screen.progress(LINE)
    screen.progress(LINE)
    screen.say("a remark")
    assert "\n" not in stream.getvalue().split("a remark")[0]
    assert stream.getvalue().endswith("\r\x1b[2Ka remark\n")


def test_a_log_gets_plain_lines_and_not_one_a_tick() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    for _ in range(100):
        screen.progress(LINE)
    screen.finish(LINE)
    assert stream.getvalue().count("\n") == 2
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_durations_are_in_words() -> None:
    assert [duration(seconds) for seconds in (0.2, 59.4, 61, 7322, 200_000)] == [
        "0 s",
        "59 s",
        "1 min 01 s",
        "2 h 02 min",
        "2 d 7 h",
    ]
