"""Where a job's retrains run: in this process, on a Ray started here, or on a cluster."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.cluster.local_start import LocalStart
from orchestrator.driver.pool import Finished, Pool, Running
from orchestrator.driver.pool_in_process import InProcessPool
from orchestrator.jobs.job import Job
from orchestrator.plan import PLAN_FILE
from orchestrator.preparation import devices_of
from orchestrator.session import Session
from workers.outcomes import ChunkTask
from workers.setup import CampaignPlace, WorkerSetup

IN_PROCESS = "in_process"
LOCAL = "local"


def workers_that_fit(job: Job) -> int:
    """How many workers to expect: as many as asked, else as many as this machine's cores allow."""
    if job.cluster.address == IN_PROCESS:
        return 1
    cores = len(os.sched_getaffinity(0))
    return job.workers.count or max(1, int(cores / job.workers.cpus))


def open_pool(session: Session, say: Callable[[str], None], *, begun: LocalStart | None = None) -> Pool:
    """Start the workers of a job, on a Ray already begun or a new one. Raises ResourceMissing where none can be had."""
    address = session.campaigns[0].chunks.address
    return start_workers(session.prepared.job, worker_setup(session), address, say, begun=begun)


def start_workers(
    job: Job,
    setup: WorkerSetup,
    chunks_address: str,
    say: Callable[[str], None],
    *,
    begun: LocalStart | None = None,
) -> Pool:
    """Workers of a setup, where the job says. chunks_address: a chunk store that they must reach."""
    if job.cluster.address == IN_PROCESS:
        return InProcessPool(lambda: setup.make_trainer("in-process"))
    say(f"starting {'Ray on this machine' if job.cluster.address == LOCAL else 'workers on the cluster'} ...")
    return _ray_pool(job, setup, chunks_address, begun)


def worker_setup(session: Session) -> WorkerSetup:
    """What each worker gets."""
    prepared = session.prepared
    return WorkerSetup(
        learner=prepared.job.learner,
        data=prepared.loaded.dataset,
        code=prepared.code,
        device=device_of(prepared.job),
        together=max(each.campaign.plan.facts.together for each in session.campaigns),
        gpu_share=gpu_share_of(prepared.job),
        devices=devices_of(prepared.job),
        campaigns={
            each.planned.id: CampaignPlace(address=each.chunks.address, facts=session.facts(each), witness=PLAN_FILE)
            for each in session.campaigns
        },
    )


def gpu_share_of(job: Job) -> float:
    """The share of a GPU's memory that each worker may hold: all of it, unless several stand on one."""
    return job.workers.gpus if 0.0 < job.workers.gpus < 1.0 else 1.0


def device_of(job: Job) -> str:
    """The device of a worker's learner where the learner itself names none."""
    return "auto" if job.workers.gpus > 0 or job.cluster.address == IN_PROCESS else "cpu"


@dataclass(frozen=True, slots=True)
class ClusterPool:
    """A pool that lets go of its cluster when it closes."""

    pool: Pool
    let_go: Callable[[], None]

    def free(self) -> int:
        """As the pool."""
        return self.pool.free()

    def submit(self, task: ChunkTask, *, avoid: frozenset[str] = frozenset()) -> int:
        """As the pool."""
        return self.pool.submit(task, avoid=avoid)

    def next_finished(self, timeout: float) -> Finished | None:
        """As the pool."""
        return self.pool.next_finished(timeout)

    def running(self) -> list[Running]:
        """As the pool."""
        return self.pool.running()

    def kill(self, worker: str) -> None:
        """As the pool."""
        self.pool.kill(worker)

    def workers(self) -> list[str]:
        """As the pool."""
        return self.pool.workers()

    def end_workers(self) -> None:
        """End the workers; the cluster stays until `close`."""
        self.pool.close()

    def close(self) -> None:
        """Close the pool, then the cluster."""
        try:
            self.pool.close()
        finally:
            self.let_go()


def _ray_pool(job: Job, setup: WorkerSetup, chunks_address: str, begun: LocalStart | None) -> Pool:
    from orchestrator.cluster.pool_ray import RayPool  # noqa: PLC0415 - Ray takes seconds to import
    from orchestrator.cluster.ray_cluster import open_cluster  # noqa: PLC0415
    from orchestrator.cluster.ray_nodes import Ask  # noqa: PLC0415
    from orchestrator.cluster.worker_check import StoreProbe, local_folder  # noqa: PLC0415

    folder = local_folder(chunks_address)
    cluster = open_cluster(job.cluster.address, timeout=job.cluster.start_timeout, begun=begun)
    asked = job.workers
    try:
        pool = RayPool(
            setup,
            ask=Ask(cpus=asked.cpus, gpus=asked.gpus, memory=asked.memory, resources=asked.resources),
            count=asked.count,
            start_timeout=job.cluster.start_timeout,
            store_probe=None if folder is None else StoreProbe(folder),
        )
    except BaseException:
        cluster.close()
        raise
    return ClusterPool(pool, cluster.close)
