"""How many retrains train together, from a short pilot: the rate of training steps against K."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from workers.out_of_memory import is_out_of_memory

SECONDS: Final = 4.0
WORTH: Final = 0.95
"""A smaller K is taken where it reaches this share of the best rate."""
CLOSE: Final = 0.6
"""Sizes above this share of the best rate are timed again, in turn."""
RISES: Final = 4 / 3
LOST: Final = 0.8
"""Two sizes in a row below this share of the best end the pilot: larger ones were never seen to recover."""


@dataclass(frozen=True, slots=True)
class TogetherChoice:
    """K, and the rates (training steps of one model a second) of the sizes tried."""

    together: int
    rates: Mapping[int, float] = field(default_factory=dict)

    def encode(self) -> str:
        """As JSON."""
        rates = {str(size): rate for size, rate in self.rates.items()}
        return json.dumps({"together": self.together, "rates": rates}, indent=1)

    @staticmethod
    def decode(content: str | bytes) -> "TogetherChoice":
        """Read back what `encode` wrote."""
        facts = json.loads(content)
        rates = {int(size): float(rate) for size, rate in facts["rates"].items()}
        return TogetherChoice(int(facts["together"]), rates)

    @property
    def still_rises(self) -> bool:
        """Whether the rate was still rising by a third or more at the largest size tried."""
        sizes = sorted(self.rates)
        return len(sizes) > 1 and self.rates[sizes[-1]] > RISES * self.rates[sizes[-2]]

    def sentence(self) -> str:
        """For a person: how the sizes compare."""
        if len(self.rates) < 2:
            return ""
        alone = self.rates[min(self.rates)]
        return ", ".join(f"{rate / alone:.2g}x with K = {size}" for size, rate in sorted(self.rates.items()))


@runtime_checkable
class Piloted(Protocol):
    """A learner whose K a pilot may choose."""

    @property
    def pilot_sizes(self) -> tuple[int, ...]:
        """Sizes worth trying, rising from 1 (looped); empty where there is nothing to choose."""
        ...

    def pilot_seconds(self, together: int, steps: int) -> float:
        """Seconds of one model's training step, from `steps` steps of `together` models."""
        ...


def pilot(
    learner: Piloted, *, most: int, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
) -> TogetherChoice | None:
    """Try the learner's sizes up to `most` for about so many seconds; None where there is nothing to choose.

    A size that runs out of memory ends the tries.
    """
    sizes = [size for size in learner.pilot_sizes if size <= max(1, most)]
    if len(sizes) < 2:
        return TogetherChoice(1) if learner.pilot_sizes else None
    learner.pilot_seconds(1, 1)  # the first steps of a process wait for its libraries
    began = clock()
    each = learner.pilot_seconds(1, 1)
    rates, tried = {1: 1.0 / max(each, 1e-9)}, dict[int, int]()
    for size in sizes:
        effort = _effort(size, each, seconds - (clock() - began))
        if effort is None or _is_lost(list(rates.values())):
            break
        steps, repeats = effort
        found = _seconds_at(learner, size, steps, repeats)
        if found is None:
            break
        each = found
        rates[size] = 1.0 / max(each, 1e-9)
        tried[size] = steps
    for size in [size for size in tried if rates[size] >= CLOSE * max(rates.values())] * 3:
        # what runs beside the pilot comes and goes: the best of a few rounds is compared
        if clock() - began < seconds:
            rates[size] = max(rates[size], 1.0 / max(learner.pilot_seconds(size, tried[size]), 1e-9))
    return TogetherChoice(chosen(rates), rates)


def _seconds_at(learner: Piloted, size: int, steps: int, repeats: int) -> float | None:
    """The best of a few repeats, None where memory is too short."""
    try:
        return min(learner.pilot_seconds(size, steps) for _ in range(repeats))
    except Exception as error:
        if is_out_of_memory(error):
            return None
        raise


def chosen(rates: Mapping[int, float]) -> int:
    """The smallest size that reaches 95 % of the best rate."""
    best = max(rates.values())
    return min(size for size, rate in rates.items() if rate >= WORTH * best)


def _effort(size: int, each: float, left: float) -> tuple[int, int] | None:
    """Steps and repeats that fit into the seconds left, at `each` seconds a model's step; None where none do."""
    for steps, repeats in ((16, 4), (8, 3), (4, 2), (2, 2)):
        if size * steps * repeats * each <= left / 2:
            return steps, repeats
    return None


def _is_lost(rates: Sequence[float]) -> bool:
    return len(rates) > 2 and max(rates[-2:]) < LOST * max(rates)
