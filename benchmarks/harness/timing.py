"""Timing for shared, noisy machines: candidates take turns in one run, and ratios are taken turn by turn."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of each turn of one candidate."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over turns, in seconds."""
        return statistics.median(self.seconds)


def in_turn(
    candidates: Mapping[str, Callable[[], object]],
    *,
    turns: int = 3,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timed]:
    """Run the candidates A B C, A B C, ... and time each; the warm-up turns are not counted.

    clock: `time.process_time` for work of one thread does not count what others on the machine take.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(warmup + turns):
        for name, call in candidates.items():
            began = clock()
            call()
            if turn >= warmup:
                seconds[name].append(clock() - began)
    return {name: Timed(name, tuple(values)) for name, values in seconds.items()}


def ratio(slower: Timed, faster: Timed) -> float:
    """How many times as long `slower` takes: the median of the ratios turn by turn."""
    return statistics.median(a / b for a, b in zip(slower.seconds, faster.seconds, strict=True))
