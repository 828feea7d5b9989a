"""Where a job's influences are worked out: in this process, or on Ray where that is the shorter way."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from estimators.influence import Influence
from orchestrator.cluster.ray_session import has_ray_session
from orchestrator.errors import ResourceMissing
from orchestrator.influences.work import InfluencePool, InfluenceWork, InThisProcess
from orchestrator.jobs.job import Job
from orchestrator.placement import IN_PROCESS, LOCAL, workers_that_fit

WITH_RAY_UP, WITH_RAY_TO_START = 1e11, 1e12
"""Operations from which Ray is worth it: some 5 s of one core's products, and 50 s where it has to be started first."""


class PlacedInfluences:
    """Small influences in this process, large ones on the job's Ray, which is reached when the first one comes.

    Where it is not reached, or fails, they are worked out here, and `say` is told. To be closed.
    """

    def __init__(self, job: Job, say: Callable[[str], None]) -> None:
        self._job, self._say = job, say
        self._here: InfluencePool = InThisProcess()
        self._there: InfluencePool | None = None
        self._close: Callable[[], None] | None = None

    def influence(self, work: InfluenceWork) -> Influence:
        """The influence."""
        if not self._is_worth_it(work):
            return self._here.influence(work)
        try:
            return self._on_ray().influence(work)
        except ResourceMissing as error:
            self._say(f"note: values are worked out in this process: {error.problems[0].what}")
            self._there = self._here
            return self._here.influence(work)

    def _is_worth_it(self, work: InfluenceWork) -> bool:
        address = self._job.cluster.address
        alone = address == IN_PROCESS or (address == LOCAL and workers_that_fit(self._job) < 2)
        if alone or self._there is self._here or len(work.blocks(parts=2)) < 2:
            return False
        return work.operations >= (WITH_RAY_UP if self._there is not None or has_ray_session() else WITH_RAY_TO_START)

    def _on_ray(self) -> InfluencePool:
        if self._there is None:
            from orchestrator.cluster.influence_tasks import RayTasks  # noqa: PLC0415 - Ray takes seconds to import
            from orchestrator.cluster.ray_cluster import open_cluster  # noqa: PLC0415

            asked = self._job.cluster
            self._close = open_cluster(asked.address, timeout=asked.start_timeout).close
            self._there = RayTasks(cpus=self._job.workers.cpus)
        return self._there

    def close(self) -> None:
        """Let Ray go."""
        if self._close is not None:
            self._close()
        self._there = self._close = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
