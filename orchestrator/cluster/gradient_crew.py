"""Blocks of gradient values on Ray: one actor a worker, one block in flight each; a run again does what is left.

An actor has the CPUs and GPUs that a worker asks for and sees no other device, so that blocks spread over all GPUs of
the cluster. It gets a block only once it is up: one that the cluster has no room for yet holds nothing back.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import ray

from orchestrator.cluster.ray_cluster import open_cluster
from orchestrator.cluster.ray_nodes import Ask, in_words, largest_offer, nodes_up, room_for
from orchestrator.errors import ResourceMissing
from orchestrator.jobs.job import Job
from workers.errors import WorkerError
from workers.gradient_file import GradientTask
from workers.gradient_work import GradientRequest, GradientWork

TRIES = 3


def computed_on_ray(job: Job, request: GradientRequest, blocks: Sequence[GradientTask]) -> Iterator[str]:
    """Names of the stored files as they arrive. A lost actor's block goes to another, up to three times each.

    Raises ResourceMissing where the cluster has no room for a worker, or none is left, and what a block itself raises.
    """
    asked = job.workers
    ask = Ask(cpus=asked.cpus, gpus=asked.gpus, memory=asked.memory, resources=asked.resources)
    with open_cluster(job.cluster.address, timeout=job.cluster.start_timeout):
        nodes = nodes_up()
        room = room_for(ask, nodes)
        if not room:
            raise ResourceMissing(
                f"a worker of gradients asks for {in_words(ask.amounts())}; {largest_offer(ask, nodes)}",
                where="workers",
                mend="ask for less, or start nodes that have it",
            )
        crew = _Crew(ask, request, blocks, job.cluster.start_timeout)
        yield from crew.finished(min(asked.count or room, room, len(blocks)))


class _Crew:
    """running: by reference what an actor does, None while it starts."""

    def __init__(self, ask: Ask, request: GradientRequest, blocks: Sequence[GradientTask], patience: float) -> None:
        self._ask, self._sent, self._patience = ask, ray.put(request), patience
        self._waiting = list(reversed(blocks))
        self._lost: Counter[GradientTask | None] = Counter()
        self._running: dict[Any, tuple[Any, GradientTask | None]] = {}

    def finished(self, count: int) -> Iterator[str]:
        """Names of files, until there is nothing left to do."""
        for _ in range(count):
            self._start()
        deadline = time.monotonic() + self._patience
        while self._waiting or any(block is not None for _, block in self._running.values()):
            done, _ = ray.wait(list(self._running), num_returns=1, timeout=5.0)
            if done:
                yield from self._ended(done[0])
                deadline = time.monotonic() + self._patience
            elif time.monotonic() > deadline and all(block is None for _, block in self._running.values()):
                raise ResourceMissing(
                    f"no worker of gradients has started in {self._patience:.0f} s: others hold the cluster's room",
                    where="workers",
                )

    def _start(self) -> None:
        ask = self._ask
        actor = (
            ray.remote(GradientWork)
            .options(num_cpus=ask.cpus, num_gpus=ask.gpus, memory=ask.memory, resources=dict(ask.resources))
            .remote(self._sent, ask.threads)
        )
        self._running[actor.__ray_ready__.remote()] = actor, None

    def _ended(self, reference: Any) -> Iterator[str]:
        actor, block = self._running.pop(reference)
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayActorError as error:
            self._lost[block] += 1
            if self._lost[block] == TRIES:
                what = "at their start" if block is None else "over one block of gradients"
                raise ResourceMissing(f"three workers were lost {what}: {error}") from error
            self._waiting += [] if block is None else [block]
            self._start()
            return
        except ray.exceptions.RayTaskError as error:
            raise WorkerError(f"gradients: {error.cause}") from error
        if block is not None:
            yield answer
        if self._waiting:
            following = self._waiting.pop()
            self._running[actor.store.remote(following)] = actor, following
