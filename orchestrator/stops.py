"""When an `until` rule looks: at fixed counts of draws, so that timing cannot move its decision."""

from collections.abc import Iterator

from estimators.confidence_sequence import certain_top, undecided_signs
from estimators.designs.protocol import DRAWS_PER_BLOCK
from orchestrator.jobs.job import Until
from orchestrator.monitor import Convergence

LOOKS = 20


def until_stops(until: Until, unit_rows: int = 1) -> Iterator[int]:
    """Counts of draws, ascending: every `every` draws, else about 20 multiples of 256; the last is `at_most`.

    All in whole units of `unit_rows` draws: looks are rounded up to one, the last is cut down to one.
    """
    every = until.every or max(1, round(until.at_most / LOOKS / DRAWS_PER_BLOCK)) * DRAWS_PER_BLOCK
    every = -(-every // unit_rows) * unit_rows
    last = until.at_most - until.at_most % unit_rows
    yield from range(every, last, every)
    yield last


def statistic_of(until: Until, point: Convergence, unit_rows: int = 1) -> float:
    """The statistic that the rule looks at; the shares hold under any number of looks (`confidence_sequence`)."""
    if until.statistic == "mean_standard_error":
        return point.mean_standard_error
    found = point.data_values
    seen = (found.values, found.standard_errors, found.degrees_of_freedom)
    best_at = max(1, until.at_most // unit_rows // 2)
    if until.statistic == "undecided_signs":
        return undecided_signs(*seen, units=point.units, best_at=best_at)
    top = min(until.top or 1, len(found.values))
    return 1.0 - float(certain_top(*seen, top=top, units=point.units, best_at=best_at).sum()) / top


def statistic_words(until: Until) -> str:
    """The statistic for people."""
    words = {
        "mean_standard_error": f"mean standard error of {until.value}",
        "undecided_signs": f"share of instances whose sign of {until.value} is undecided",
        "top_undecided": f"share of the top {until.top} by {until.value} that is undecided",
    }
    return words[until.statistic]
