"""The pool of Ray actors: two chunks in flight for each, none retried here, the dead replaced."""

import logging
import time
from collections import deque
from collections.abc import Mapping

import ray

from orchestrator.cluster.ray_crew import Call, Crew, Hand
from orchestrator.cluster.ray_nodes import Ask
from orchestrator.cluster.worker_check import StoreProbe
from orchestrator.driver.pool import Finished, Running
from workers.actor import Setup
from workers.outcomes import ChunkTask, Failure, FailureKind, Outcome
from workers.task_message import Message, outcome_of, task_message

IN_FLIGHT = 2
_NAP = 0.05
_LINGER = 0.01
"""Seconds for which answers are gathered after the first: the next chunk of a worker is under way meanwhile."""

Answer = Message | Failure

log = logging.getLogger(__name__)


class RayPool:
    """Trains chunks on a Ray cluster that this process is connected to (`orchestrator.cluster.ray_cluster`).

    setup: what each worker loads once; it goes through Ray's object store. ask: the resources of one worker.
    count: workers, None = as many as fit, on nodes that join later too. start_timeout: seconds until the first
    worker must be up. wait_for_nodes: seconds until a node must have what is asked. store_folder: the store's local
    folder, which workers must see as the driver does; None where the store is no folder.
    Raises ResourceMissing, here or from `next_finished`, where no worker can be had.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        ask: Ask,
        count: int | None = None,
        start_timeout: float = 120.0,
        wait_for_nodes: float = 5.0,
        store_probe: StoreProbe | None = None,
    ) -> None:
        self._crew = Crew(
            setup,
            ask=ask,
            count=count,
            start_timeout=start_timeout,
            wait_for_nodes=wait_for_nodes,
            probe=store_probe,
        )
        self._done: deque[Finished] = deque()
        self._tickets = 0

    def free(self) -> int:
        """How many more tasks may be submitted now."""
        loads = [len(hand.calls) for hand in self._crew.up]
        return sum([IN_FLIGHT - load for load in loads if load < IN_FLIGHT])

    def submit(self, task: ChunkTask, *, avoid: frozenset[str] = frozenset()) -> int:
        """Hand a task to the least loaded worker that is not to be avoided, though it have one more than usual."""
        hand = min(self._crew.up, key=lambda hand: len(hand.calls))
        if avoid:
            hand = min(
                self._crew.up, key=lambda hand: (len(hand.calls) > IN_FLIGHT, hand.name in avoid, len(hand.calls))
            )
        self._tickets += 1
        hand.calls.append(Call(self._tickets, task, hand.actor.train.remote(task_message(task))))
        if len(hand.calls) == 1:
            hand.head_since = time.monotonic()
        return self._tickets

    def next_finished(self, timeout: float) -> Finished | None:
        """The next task that came back; workers are started, checked and replaced meanwhile."""
        deadline = time.monotonic() + timeout
        while not self._done:
            self._crew.tend()
            self._wait(deadline - time.monotonic())
            if not self._done and time.monotonic() >= deadline:
                return None
        return self._done.popleft()

    def _wait(self, seconds: float) -> None:
        calls = {call.answer: hand for hand in self._crew.up for call in hand.calls}
        refs = [*calls, *self._crew.refs()]
        if not refs:
            time.sleep(max(0.0, min(_NAP, seconds)))
            return
        first, _ = ray.wait(refs, num_returns=1, timeout=max(0.0, seconds))
        # and all that come soon after, in the order of each worker's calls: where much comes, one wait serves many
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=_LINGER) if first else ([], [])
        answers = _all_at_once([ref for ref in ready if ref in calls])
        for ref in ready:
            if ref in calls:
                self._answered(calls[ref], ref, answers)
            else:
                self._crew.take(ref)

    def _answered(self, hand: Hand, ref: ray.ObjectRef, answers: Mapping[ray.ObjectRef, Answer]) -> None:
        call = next((call for call in hand.calls if call.answer == ref), None)
        if call is None:
            return  # its worker was lost while earlier answers were read
        try:
            outcome: Outcome = outcome_of(answers[ref] if ref in answers else ray.get(ref))
        except ray.exceptions.RayTaskError as error:
            outcome = Failure(call.task.chunk, "exception", str(error)[-2000:], hand.name)
        except ray.exceptions.RayError as error:
            preempted = bool(getattr(error, "preempted", False))
            self._lose(hand, f"{hand.name} was lost: {_cause(error)}", preempted=preempted)
            return
        hand.calls.remove(call)
        hand.head_since = time.monotonic() if hand.calls else None
        self._done.append(Finished(call.ticket, call.task, outcome))

    def _lose(self, hand: Hand, reason: str, *, preempted: bool = False) -> None:
        """Report every task of a worker as lost; only the first of them had begun."""
        kind: FailureKind = "out_of_memory" if "low on memory" in reason else "died"
        log.warning("%s; %d chunks come back", reason, len(hand.calls))
        for place, call in enumerate(hand.calls):
            failure = Failure(call.task.chunk, kind, reason, hand.name)
            first = place == 0
            self._done.append(
                Finished(call.ticket, call.task, failure, worker_lost=True, preempted=preempted, started=first)
            )
        hand.calls.clear()
        self._crew.dismiss(hand)

    def running(self) -> list[Running]:
        """Tasks in flight."""
        return [
            Running(call.ticket, call.task, hand.name, hand.head_since if place == 0 else None)
            for hand in self._crew.up
            for place, call in enumerate(hand.calls)
        ]

    def kill(self, worker: str) -> None:
        """End a worker that hangs; its tasks come back as lost at once, whatever Ray says later."""
        for hand in [hand for hand in self._crew.up if hand.name == worker]:
            self._lose(hand, f"{worker} was ended")

    def workers(self) -> list[str]:
        """Names of the workers that are up."""
        return [hand.name for hand in self._crew.up]

    def close(self) -> None:
        """End every worker; Ray itself stays."""
        if ray.is_initialized():
            self._crew.close()


def _all_at_once(refs: list[ray.ObjectRef]) -> dict[ray.ObjectRef, Answer]:
    """Answers that came, in one call of Ray's; none where any of them is an error, to be asked one by one."""
    try:
        return dict(zip(refs, ray.get(refs), strict=True))
    except ray.exceptions.RayError:
        return {}


def _cause(error: Exception) -> str:
    """Ray's words without its advice: the sentence that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next(
        (line for line in lines if "Worker exit detail" in line or "because" in line), lines[0] if lines else ""
    )
    return f"{type(error).__name__}: {telling.split('Some common causes')[0][:300].strip()}"
