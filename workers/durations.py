"""Lengths of time as people write them: seconds as a number, or a text such as 90 s, 10 min, 1.5 h."""

import re
from typing import Annotated, Final

from annotated_types import Predicate

UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT: Final = re.compile(rf"(\d+(?:\.\d+)?) ?({'|'.join(UNITS)})")


def is_duration(value: float | str) -> bool:
    """Whether the value is a length of time above 0."""
    if isinstance(value, str):
        found = _TEXT.fullmatch(value.strip())
        return found is not None and float(found[1]) > 0.0
    return value > 0.0


def seconds_of(value: float | str) -> float:
    """Seconds of a length of time; raises ValueError where the value is none."""
    if not is_duration(value):
        raise ValueError(
            f"{value!r} is no length of time above 0: write seconds, or a text such as 90 s, 10 min, 1.5 h"
        )
    if not isinstance(value, str):
        return float(value)
    found = _TEXT.fullmatch(value.strip())
    assert found is not None, "is_duration has seen it"
    return float(found[1]) * UNITS[found[2]]


Duration = Annotated[float | str, Predicate(is_duration)]
