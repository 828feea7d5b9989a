"""Progress for people: one line that moves on a terminal, plain lines in a log."""

import sys
import time
from dataclasses import dataclass
from typing import TextIO

SECONDS_BETWEEN_LOG_LINES = 10.0


@dataclass(frozen=True, slots=True)
class ProgressLine:
    """Retrains of one campaign: `spared` were in the store before, `done` counts them too."""

    campaign: str
    done: int
    planned: int
    spared: int
    failures: int
    seconds: float
    note: str = ""

    @property
    def rate(self) -> float:
        """Retrains per second since the campaign started."""
        return (self.done - self.spared) / self.seconds if self.seconds > 0 else 0.0

    def text(self) -> str:
        """The line, without what only a terminal needs."""
        share = self.done / self.planned if self.planned else 1.0
        parts = [f"{self.campaign}: {self.done:,} of {self.planned:,} retrains ({share:.0%})"]
        if self.rate > 0:
            parts.append(f"{self.rate:.3g}/s")
            parts += [f"{duration((self.planned - self.done) / self.rate)} left"] if self.done < self.planned else []
        parts.append(f"{self.failures} failed")
        if self.note:
            parts.append(self.note)
        return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in words that fit a line: `41 s`, `3 min 20 s`, `5 h 12 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 172800:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


class Screen:
    """Where progress and remarks go: standard error, so that output can be piped."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._moving = self._stream.isatty()
        self._last = -SECONDS_BETWEEN_LOG_LINES
        self._open_line = False

    def say(self, text: str) -> None:
        """A remark on a line of its own."""
        self._close_line()
        self._stream.write(text + "\n")
        self._stream.flush()

    def progress(self, line: ProgressLine) -> None:
        """Move the line on a terminal; in a log, write one every 10 s."""
        now = time.monotonic()
        if self._moving:
            self._stream.write("\r\x1b[2K" + line.text()[:200])
            self._open_line = True
        elif line.done < line.planned and now - self._last >= SECONDS_BETWEEN_LOG_LINES:
            self._stream.write(line.text() + "\n")
            self._last = now
        self._stream.flush()

    def finish(self, line: ProgressLine) -> None:
        """The last state of a campaign, which always stays to be read."""
        self._close_line()
        self._stream.write(line.text() + "\n")
        self._stream.flush()
        self._last = -SECONDS_BETWEEN_LOG_LINES

    def _close_line(self) -> None:
        if self._open_line:
            self._stream.write("\r\x1b[2K")
            self._open_line = False
