"""Carry out the gradient methods of a job: the blocks that the store lacks, in this process or on Ray."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from estimators.arrays import BoolArray, SeedArray
from estimators.errors import EstimatorError
from estimators.seeding import retrain_seeds
from orchestrator.errors import Interrupted, Problem
from orchestrator.gradients.grouping import groups_of
from orchestrator.gradients.identity import campaign_named, gradient_identity, gradient_store, run_identity
from orchestrator.gradients.listing import listed_identity, put_listing
from orchestrator.gradients.reading import read_gradient, whole_values
from orchestrator.kept_models import models_stored
from orchestrator.placement import IN_PROCESS, device_of
from orchestrator.preparation import Prepared
from orchestrator.session import Session
from workers.chunk_store import ChunkStore
from workers.errors import LearnerError
from workers.gradient_file import blocks_stored, read_block
from workers.gradient_specs import GradientSpec
from workers.keeping import keeper_of
from workers.stored_model import StoredModel, whole_file, whole_stored
from workers.trajectory import trajectory_file, trajectory_mode, trajectory_stored

if TYPE_CHECKING:
    from workers.gradient_work import GradientRequest

MEND = "everything else of the job is done; change this entry or take it out, and run the job again: nothing is lost"


def run_gradients(session: Session, say: Callable[[str], None], stopping: Callable[[], int]) -> list[Problem]:
    """Every gradient method of the job that is not whole in the store yet; what kept some of them from it.

    Raises Interrupted where it is stopped.
    """
    prepared, problems = session.prepared, list[Problem]()
    if not prepared.job.gradients:
        return problems
    store = gradient_store(session.tracker, session.parent)
    for place, spec in enumerate(prepared.job.gradients):
        try:
            _complete(session, spec, store, say, stopping)
        except (EstimatorError, LearnerError) as error:
            reason = str(error).removeprefix("gradients: ")
            say(f"{spec.label}: error: {reason}; the job goes on without it")
            where = prepared.job.origin.where("gradients", place)
            problems.append(Problem(f"{spec.label}: {reason}", where, MEND))
    return problems


def _complete(
    session: Session, spec: GradientSpec, store: ChunkStore, say: Callable[[str], None], stopping: Callable[[], int]
) -> None:
    found = whole_values(session.prepared, spec, store)
    if found is None:
        _run(session, spec, store, say, stopping)
        found = read_gradient(session.prepared, spec, store)
    _list(session.prepared, spec, store)
    label = re.sub(r"[^A-Za-z0-9_. -]", "_", spec.label)
    figures = {f"gradient {label} {name}": value for name, value in found.facts.items()}
    journal = session.journal.of(session.parent.run_id)
    journal.metrics(0, {name: value for name, value in figures.items() if math.isfinite(value)}, last=True)
    for warning in found.warnings:
        say(f"{spec.label}: warning: {warning}")


def _run(
    session: Session, spec: GradientSpec, store: ChunkStore, say: Callable[[str], None], stopping: Callable[[], int]
) -> None:
    from workers.gradient_work import GradientWork  # noqa: PLC0415 - torch only where it is needed

    job = session.prepared.job
    request = _request(session, spec, store, say)
    done = blocks_stored(store.names(), request.identity)
    if done:  # begun elsewhere, perhaps where other rows would be taken at once
        name = next(iter(done.values()))
        request = replace(request, block_rows=int(read_block(name, store.get(name)).told["block_rows"]))
    work = GradientWork(request)
    every = work.tasks()
    missing = [task for task in every if task not in done]
    say(f"{spec.label}: {len(missing):,} of {len(every):,} blocks of gradient values ...")
    if job.cluster.address == IN_PROCESS or len(missing) == 1:
        finished: Iterator[str] = (work.store(task) for task in missing)
    else:
        from orchestrator.cluster.gradient_crew import computed_on_ray  # noqa: PLC0415 - Ray takes seconds to import

        fixed = replace(request, block_rows=work.block_rows)
        finished = computed_on_ray(job, fixed, missing)
    for count, _ in enumerate(finished, 1):
        session.lease.check()
        if stopping() and count < len(missing):
            raise Interrupted(
                f"stopped after {count:,} of {len(missing):,} blocks of {spec.label}",
                signal_number=stopping(),
                mend=f"go on: apportion resume {job.origin.path or 'JOB'}",
            )


def _list(prepared: Prepared, spec: GradientSpec, store: ChunkStore) -> None:
    """Write down what the entry's values are made of, where that is not written yet."""
    names, identity, prints = store.names(), gradient_identity(spec, prepared), prepared.fingerprints
    if identity in {listed_identity(name) for name in names}:
        return
    behind = [trajectory_stored(names, run_identity(spec.recorded, prints))] if spec.recorded else []
    if not spec.recorded and spec.campaign is None:
        behind = [whole_stored(names, run_identity(f"model {k}", prints)) for k in range(spec.models_needed)]
    put_listing(store, identity, [*blocks_stored(names, identity).values(), *filter(None, behind)])


def _request(session: Session, spec: GradientSpec, store: ChunkStore, say: Callable[[str], None]) -> "GradientRequest":
    from workers.gradient_work import GradientRequest  # noqa: PLC0415 - as above

    prepared = session.prepared
    recorded = spec.recorded
    return GradientRequest(
        spec=spec,
        learner=prepared.job.learner,
        data=prepared.loaded.dataset,
        code=prepared.code,
        device=device_of(prepared.job),
        models=() if recorded else _models(session, spec, store, say),
        address=store.address,
        identity=gradient_identity(spec, prepared),
        run=_recorded(session, recorded, store, say) if recorded else "",
        groups=None if spec.grouped_by is None else groups_of(prepared.loaded, spec.grouped_by)[0],
    )


def _models(
    session: Session, spec: GradientSpec, store: ChunkStore, say: Callable[[str], None]
) -> tuple[StoredModel, ...]:
    if spec.campaign is None:
        return tuple(_whole_model(session, number, store, say) for number in range(spec.models_needed))
    wanted = campaign_named(spec.campaign, session.prepared).id
    campaign = next(each.campaign for each in session.campaigns if each.planned.id == wanted)
    return models_stored(campaign, spec.models_needed)


def _whole_model(session: Session, number: int, store: ChunkStore, say: Callable[[str], None]) -> StoredModel:
    """The model of the whole training set, replicate `number`, trained where the store lacks it."""
    identity = run_identity(f"model {number}", session.prepared.fingerprints)
    name = whole_stored(store.names(), identity)
    if name is None:
        say(f"training a model of the whole training set: replicate {number} ...")
        members, seeds = _whole(session, number + 1)
        learner = keeper_of(session.prepared.learner(device=device_of(session.prepared.job)))
        name, content = whole_file(identity, learner.trained(members[None], seeds[number:]))
        store.put(name, content)
    return StoredModel(store.address, name)


def _recorded(session: Session, recorded: str, store: ChunkStore, say: Callable[[str], None]) -> str:
    """The file of the run of the whole training set, replicate 0, recorded where the store lacks it."""
    identity = run_identity(recorded, session.prepared.fingerprints)
    found = trajectory_stored(store.names(), identity)
    if found is not None:
        return found
    from workers.recording import recorder_of  # noqa: PLC0415 - torch only where it is needed

    say(f"recording a run of the whole training set: {recorded} ...")
    members, seeds = _whole(session, 1)
    learner = recorder_of(session.prepared.learner(device=device_of(session.prepared.job)))
    run = learner.recorded(members, int(seeds[0]), trajectory_mode(recorded))
    name, content = trajectory_file(identity, run)
    store.put(name, content)
    return name


def _whole(session: Session, count: int) -> tuple[BoolArray, SeedArray]:
    """Members [n] of the whole training set, and the seeds of its first replicates."""
    plan = session.campaigns[0].campaign.plan
    ends = plan.end_rows()
    whole = int(np.flatnonzero(ends.members.all(axis=1))[0])
    seeds = retrain_seeds(plan.facts.learner_seed, [ends.keys[whole]] * count, np.arange(count, dtype=np.int64))
    return ends.members[whole], seeds
