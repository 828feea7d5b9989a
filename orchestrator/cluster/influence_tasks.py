"""Influences as Ray tasks, one a block of test instances: what a block needs of the rows stands in Ray's store.

The driver goes through the rows once and keeps none: of each stretch of rows it puts what all blocks share, once, and
each block's own losses. A task whose worker is lost, or that fails in another way than its estimator can, is sent
again, up to three times each. Nothing is stored: a run that was killed works the blocks out again.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import ray

from estimators.aggregators.blocks import blocks_of_rows
from estimators.column_blocks import ColumnBlock, joined_influence
from estimators.errors import EstimatorError
from estimators.influence import Influence
from orchestrator.errors import ResourceMissing
from orchestrator.influences.work import InfluenceWork
from workers.value_work import SharedRows, block_influence

ROWS_A_STRETCH = 4096
TRIES = 3


class RayTasks:
    """Works influences out on the Ray session of this process. cpus: of one task. function: what a task carries out."""

    def __init__(self, *, cpus: float = 1.0, function: Callable[..., Influence] = block_influence) -> None:
        self._cpus = max(1.0, cpus)
        # the driver sends blocks again itself, so that a block that ends its workers is told from a lost node
        self._task = ray.remote(function).options(num_cpus=self._cpus, max_retries=0)

    def influence(self, work: InfluenceWork) -> Influence:
        """The influence."""
        workers = max(1, int(ray.cluster_resources().get("CPU", 1.0) / self._cpus))
        blocks = work.blocks(parts=workers)
        request, stretches = ray.put(work.request), _put(work, blocks)
        found = self._computed(blocks, lambda place: [request, blocks[place], *stretches[place]], 2 * workers)
        return joined_influence(blocks, found)

    def _computed(
        self, blocks: list[ColumnBlock], sent: Callable[[int], list[Any]], most: int
    ) -> Iterator[tuple[int, Influence]]:
        """Places of blocks with their influence, as they come back; at most `most` under way."""
        waiting, tries = deque(range(len(blocks))), [0] * len(blocks)
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < most:
                place = waiting.popleft()
                running[self._task.remote(*sent(place))] = place
            done, _ = ray.wait(list(running), num_returns=1)
            place = running.pop(done[0])
            try:
                yield place, ray.get(done[0])
            except ray.exceptions.RayError as error:
                tries[place] += 1
                _refuse(error, blocks[place], tries[place])
                waiting.append(place)


def _refuse(error: ray.exceptions.RayError, block: ColumnBlock, tries: int) -> None:
    """Raise what the estimator has raised, or ResourceMissing where a block has failed too often."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, EstimatorError):
        raise cause from None
    if tries >= TRIES:
        what = f"test instances {block.start} to {block.stop - 1} of a value failed {tries} times on Ray"
        lines = [line.strip() for line in str(cause or error).splitlines() if line.strip()]
        raise ResourceMissing(
            f"{what}; the last time: {type(cause or error).__name__}: {lines[-1][:300] if lines else ''}",
            mend="give workers more memory, or work it out in the driver: `cluster: {address: in_process}`",
        ) from error


def _put(work: InfluenceWork, blocks: list[ColumnBlock]) -> list[list[Any]]:
    """For each block references to what it needs of each stretch of rows, in plan order."""
    needed: list[list[Any]] = [[] for _ in blocks]
    for rows in blocks_of_rows(work.rows, ROWS_A_STRETCH):
        shared = ray.put(SharedRows.of(rows))
        for own, block in zip(needed, blocks, strict=True):
            own += [shared, ray.put(rows.losses[:, block.start : block.stop].copy())]
    return needed
