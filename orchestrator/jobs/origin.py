"""Where a job came from: the file, and the line of every key, so that errors found late still name a line."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Place = tuple[str | int, ...]
"""A path of keys and list positions in a job: ("campaigns", 0, "design")."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The file of a job and what stands where in it; empty for a job built in Python.

    lines: the line (from 1) of each place. written: scalars as they were typed, with `${NAME}` unreplaced.
    notes: warnings about the file. Two origins always compare equal: they are no part of what a job means.
    """

    path: str = field(default="", compare=False)
    lines: Mapping[Place, int] = field(default_factory=dict, compare=False)
    written: Mapping[Place, str] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def where(self, *place: str | int) -> str:
        """`job.yaml:7: campaigns[0].design`; the nearest enclosing line where the key itself is not in the file."""
        line = self.line_of(place)
        file = f"{self.path}:{line}" if line else self.path
        return ": ".join(part for part in (file, dotted(place)) if part)

    def line_of(self, place: Place) -> int:
        """The line of the place, or of the nearest one that encloses it; 0 where there is no file."""
        for length in range(len(place), -1, -1):
            line = self.lines.get(place[:length])
            if line is not None:
                return line
        return 0


def dotted(place: Place) -> str:
    """`campaigns[0].design`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
