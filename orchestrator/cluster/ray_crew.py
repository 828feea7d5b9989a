"""The crew of a Ray pool: actors started, checked before they work, and replaced when they die."""

import importlib.util
import logging
import os
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass, field

import psutil
import ray

from orchestrator.cluster.ray_health import HeadWatch
from orchestrator.cluster.ray_nodes import Ask, Node, in_words, largest_offer, nodes_up, room_for
from orchestrator.cluster.worker_check import StoreProbe, problems_of
from orchestrator.errors import Problem, ResourceMissing
from workers.actor import Setup, TrainerActor
from workers.errors import WorkerError
from workers.outcomes import ChunkTask
from workers.worker_facts import WorkerFacts, facts_here

SECONDS_BETWEEN_LOOKS = 3.0
SECONDS_TO_DIAGNOSE = 20.0
MOST_FAILED_STARTS = 3
LONGEST_PAUSE = 30.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A task that an actor was asked to train."""

    ticket: int
    task: ChunkTask
    answer: ray.ObjectRef


@dataclass(slots=True, eq=False)
class Hand:
    """One actor. `facts` are there once it is described; `calls` in the order in which it will train them."""

    name: str
    number: int
    actor: ray.actor.ActorHandle
    described: ray.ObjectRef
    prepared: ray.ObjectRef
    began: float
    facts: WorkerFacts | None = None
    head_since: float | None = None
    calls: deque[Call] = field(default_factory=deque)


class Crew:
    """Keeps as many workers up as asked for, or as fit, also on nodes that join later."""

    def __init__(
        self,
        setup: Setup,
        *,
        ask: Ask,
        count: int | None,
        start_timeout: float,
        wait_for_nodes: float,
        probe: StoreProbe | None,
    ) -> None:
        self.up: list[Hand] = []
        self.starting: list[Hand] = []
        self._ask, self._count, self._start_timeout, self._probe = ask, count, start_timeout, probe
        self._driver = facts_here("driver")
        self._names = self._failed_starts = self._first_wave = 0
        self._ever_up = False
        self._began = time.monotonic()
        self._next_look = self._no_start_before = 0.0
        _refuse_what_fits_nowhere(ask, wait_for_nodes)
        self._setup = ray.put(setup)
        self._actor_class = ray.remote(TrainerActor)  # once: Ray takes 50 ms to hash a class it has not met
        self._head = HeadWatch()

    def refs(self) -> list[ray.ObjectRef]:
        """What to wait for, of workers that start."""
        return [hand.described if hand.facts is None else hand.prepared for hand in self.starting]

    def tend(self) -> None:
        """Start what is missing; raises ResourceMissing where no worker could be started for too long."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        nodes = self._head.nodes()
        if now >= self._no_start_before:
            wanted = self._count or room_for(self._ask, nodes)
            for _ in range(wanted - len(self.up) - len(self.starting)):
                self._start(now)
            self._first_wave = self._first_wave or self._names
        if not self._ever_up and now - self._began > self._start_timeout:
            raise self._not_placed(now - self._began, nodes)

    def _start(self, now: float) -> None:
        self._names += 1
        name = f"worker-{self._names}"
        amounts = self._ask.amounts()
        actor = self._actor_class.options(
            num_cpus=amounts.pop("CPU", 0.0),
            num_gpus=amounts.pop("GPU", 0.0),
            memory=amounts.pop("memory", None),
            resources=amounts,
            max_restarts=0,  # the crew starts another: a restarting actor fails calls that it never began
            max_task_retries=0,  # the driver decides what is tried again, and where
            enable_task_events=False,  # a record of each call, kept in the driver for pages that nobody opens
            runtime_env={"env_vars": dict.fromkeys(_THREAD_VARIABLES, str(self._ask.threads))},
        ).remote(name, self._ask.threads)
        described = actor.describe.remote(None if self._probe is None else self._probe.write())
        self.starting.append(Hand(name, self._names, actor, described, actor.prepare.remote(self._setup), now))

    def take(self, ref: ray.ObjectRef) -> bool:
        """Take an answer of a worker that starts; False where the answer is not of one."""
        hand = next((hand for hand in self.starting if ref in {hand.described, hand.prepared}), None)
        if hand is None:
            return False
        try:
            answer = ray.get(ref)
        except Exception as error:  # noqa: BLE001 - whatever a start can raise over there becomes a reason
            problem, certain = _why_it_did_not_start(hand, error, first=not self._ever_up)
            self._start_failed(hand, [problem], certain=certain)
            return True
        if hand.facts is None:
            self._described(hand, answer)
        else:
            self.starting.remove(hand)
            self._is_up(hand)
        return True

    def _described(self, hand: Hand, facts: WorkerFacts) -> None:
        hand.facts = facts
        problems = problems_of(facts, self._driver)
        if problems:
            self._start_failed(hand, problems, certain=True, unfit=True)

    def _is_up(self, hand: Hand) -> None:
        self.up.append(hand)
        self._ever_up, self._failed_starts = True, 0
        if self._probe is not None and not self.starting:
            self._probe.remove()
        host = "" if hand.facts is None else f" on {hand.facts.host}, process {hand.facts.pid}"
        log.info("%s is up%s after %.1f s; %d up", hand.name, host, time.monotonic() - hand.began, len(self.up))

    def _start_failed(self, hand: Hand, problems: list[Problem], *, certain: bool = False, unfit: bool = False) -> None:
        """certain: another start would fail the same way, so that nothing is tried again before one is up.

        unfit: its node may not work for this driver, which ends a run that begins, whichever worker was up first; a
        node that joins later is left out.
        """
        self.starting.remove(hand)
        end(hand)
        self._failed_starts += 1
        unfit = unfit and hand.number <= self._first_wave
        if unfit or (not self._ever_up and (certain or self._failed_starts >= MOST_FAILED_STARTS)):
            raise ResourceMissing(problems)
        pause = min(LONGEST_PAUSE, 2.0**self._failed_starts)
        self._no_start_before = time.monotonic() + pause
        reason = "; ".join(problem.what for problem in problems)
        log.warning("%s did not start (%s); failure %d, pausing %.0f s", hand.name, reason, self._failed_starts, pause)

    def _not_placed(self, seconds: float, nodes: list[Node]) -> ResourceMissing:
        asked = in_words(self._ask.amounts())
        what = f"no worker has started in {seconds:.0f} s: one asks for {asked}; {largest_offer(self._ask, nodes)}"
        return ResourceMissing(what, where="workers", mend="free the cluster, ask for less, or raise start_timeout")

    def dismiss(self, hand: Hand) -> None:
        """A worker is gone or must go; the next look starts another."""
        if hand in self.up:
            self.up.remove(hand)
        end(hand)
        self._next_look = 0.0

    def close(self) -> None:
        """End every worker."""
        self._head.close()
        for hand in [*self.up, *self.starting]:
            end(hand)
        self.up.clear()
        self.starting.clear()
        if self._probe is not None:
            self._probe.remove()


def end(hand: Hand) -> None:
    """End an actor, also one whose process is stopped or deaf, where it runs on this machine."""
    ray.kill(hand.actor)
    facts = hand.facts
    if facts is None or facts.host != socket.gethostname():
        return
    try:
        if abs(psutil.Process(facts.pid).create_time() - facts.started) < 1.0:
            os.kill(facts.pid, signal.SIGKILL)
    except (psutil.Error, OSError):
        return  # it is gone already


def _refuse_what_fits_nowhere(ask: Ask, patience: float) -> None:
    """Ray would wait for ever, in silence, for a node that has what is asked."""
    deadline = time.monotonic() + patience
    while not room_for(ask, nodes := nodes_up()):
        if time.monotonic() >= deadline:
            what = f"a worker asks for {in_words(ask.amounts())}; {largest_offer(ask, nodes)}"
            raise ResourceMissing(what, where="workers", mend="ask for less, or use a cluster that has it")
        time.sleep(0.5)


def _why_it_did_not_start(hand: Hand, error: Exception, *, first: bool) -> tuple[Problem, bool]:
    """The reason, and whether another start would meet it too: what Python raised there, it would raise again.

    first: no worker was ever up, so that it is worth to ask the cluster, and to wait for what it says.
    """
    where = f"worker {hand.name}" + ("" if hand.facts is None else f" on {hand.facts.host}")
    if first and hand.facts is None and (shadow := _shadow()) is not None:
        here, there = shadow
        what = f"another package called workers hides apportion's on the cluster: {there} instead of {here}"
        return Problem(what, where=where, mend=f"rename {there}"), True
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, WorkerError):  # ours says what and how to mend
        what, _, mend = str(cause).partition("\n")
        return Problem(f"cannot start: {what}", where=where, mend=mend.strip()), True
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    name = type(cause).__name__
    problem = Problem(f"cannot start: {name}: {lines[-1][:500] if lines else 'no reason given'}", where=where)
    return problem, isinstance(error, ray.exceptions.RayTaskError)


def _shadow() -> tuple[str, str] | None:
    """Where `workers` is here and on the cluster, where these are not the same place."""
    here = importlib.util.find_spec("workers")
    asked = ray.remote(num_cpus=0, max_retries=0)(importlib.util.find_spec).remote("workers")
    try:
        there = ray.get(asked, timeout=SECONDS_TO_DIAGNOSE)
    except (ray.exceptions.RayError, TimeoutError):
        return None
    places = [str(spec.origin) if spec is not None else "nowhere" for spec in (here, there)]
    return (places[0], places[1]) if places[0] != places[1] else None
