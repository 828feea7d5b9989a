"""When an `until` rule looks: at fixed counts of draws, so that timing cannot move its decision."""

from collections.abc import Iterator

from estimators.designs.protocol import DRAWS_PER_BLOCK
from orchestrator.jobs.job import Until

LOOKS = 20


def until_stops(until: Until) -> Iterator[int]:
    """Counts of draws, ascending, the last being `at_most`: every `every` draws, else about 20 multiples of 256."""
    every = until.every or max(1, round(until.at_most / LOOKS / DRAWS_PER_BLOCK)) * DRAWS_PER_BLOCK
    yield from range(every, until.at_most, every)
    yield until.at_most
