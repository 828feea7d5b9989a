"""Blocks of gradient values on Ray: one actor a worker, one block in flight each; a run again does what is left."""

from collections.abc import Iterator, Sequence
from typing import Any

import ray

from orchestrator.cluster.ray_cluster import open_cluster
from orchestrator.cluster.ray_nodes import Ask
from orchestrator.errors import ResourceMissing
from orchestrator.jobs.job import Job
from workers.errors import WorkerError
from workers.gradient_file import GradientTask
from workers.gradient_work import GradientRequest, GradientWork

TRIES = 3


def computed_on_ray(job: Job, request: GradientRequest, blocks: Sequence[GradientTask], *, count: int) -> Iterator[str]:
    """Names of the stored files as they arrive. A lost actor's block goes to another, up to three times each.

    Raises ResourceMissing where no worker is left, and what a block itself raises.
    """
    asked = job.workers
    ask = Ask(cpus=asked.cpus, gpus=asked.gpus, memory=asked.memory, resources=asked.resources)
    with open_cluster(job.cluster.address, timeout=job.cluster.start_timeout):
        actor_class = ray.remote(GradientWork).options(
            num_cpus=asked.cpus, num_gpus=asked.gpus, memory=asked.memory, resources=dict(asked.resources)
        )
        sent = ray.put(request)
        actors = [actor_class.remote(sent, ask.threads) for _ in range(min(count, len(blocks)))]
        waiting, tries = list(reversed(blocks)), dict.fromkeys(blocks, 0)
        running: dict[Any, tuple[Any, GradientTask]] = {}

        def send(actor: Any) -> None:
            block = waiting.pop()
            running[actor.store.remote(block)] = actor, block

        for actor in actors:
            send(actor)
        while running:
            done, _ = ray.wait(list(running), num_returns=1)
            actor, block = running.pop(done[0])
            try:
                yield ray.get(done[0])
            except ray.exceptions.RayActorError as error:
                tries[block] += 1
                if tries[block] == TRIES:
                    raise ResourceMissing(f"three workers were lost over one block of gradients: {error}") from error
                waiting.append(block)
                actor = actor_class.remote(sent, ask.threads)
            except ray.exceptions.RayTaskError as error:
                raise WorkerError(f"gradients: {error.cause}") from error
            if waiting:
                send(actor)
