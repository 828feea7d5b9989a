"""When an `until` rule looks: at fixed counts of draws, so that timing cannot move its decision."""

from collections.abc import Iterator

from estimators.designs.protocol import DRAWS_PER_BLOCK
from orchestrator.jobs.job import Until

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
