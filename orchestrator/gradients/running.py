"""Carry out the gradient methods of a job: the blocks that the store lacks, in this process or on Ray."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from estimators.arrays import BoolArray, SeedArray
from estimators.seeding import retrain_seeds
from orchestrator.errors import Interrupted
from orchestrator.gradients.identity import gradient_identity, gradient_store, run_identity
from orchestrator.gradients.reading import read_gradient
from orchestrator.placement import IN_PROCESS, device_of, workers_that_fit
from orchestrator.session import Session
from workers.chunk_store import ChunkStore
from workers.gradient_file import blocks_stored
from workers.gradient_specs import GradientSpec
from workers.keeping import Models, keeper_of
from workers.trajectory import trajectory_file, trajectory_mode, trajectory_stored

Block = tuple[int, int, int]


def run_gradients(session: Session, say: Callable[[str], None], stopping: Callable[[], int]) -> None:
    """Every gradient method of the job that is not whole in the store yet.

    Raises LearnerError or EstimatorError where a method does not fit the learner, Interrupted where it is stopped.
    """
    specs = session.prepared.job.gradients
    if not specs:
        return
    store = gradient_store(session.tracker, session.parent)
    for spec in specs:
        _run(session, spec, store, say, stopping)
        found = read_gradient(session.prepared.job, session.prepared.loaded, spec, store, session.prepared.fingerprints)
        journal = session.journal.of(session.parent.run_id)
        journal.metrics(0, {f"gradient {spec.label} {name}": value for name, value in found.facts.items()}, last=True)
        for note in found.influence.notes:
            if note.startswith("warning"):
                say(f"{spec.label}: {note}")


def _run(
    session: Session, spec: GradientSpec, store: ChunkStore, say: Callable[[str], None], stopping: Callable[[], int]
) -> None:
    from workers.gradient_work import GradientRequest, GradientWork  # noqa: PLC0415 - torch only where it is needed

    prepared = session.prepared
    identity = gradient_identity(spec, prepared.fingerprints)
    request = GradientRequest(
        spec=spec,
        learner=prepared.job.learner,
        data=prepared.loaded.dataset,
        code=prepared.code,
        device=device_of(prepared.job),
        models={} if spec.recorded else _models(session, spec.models_needed),
        address=store.address,
        identity=identity,
        run=_recorded(session, spec.recorded, store, say) if spec.recorded else "",
    )
    work = GradientWork(request)
    done = blocks_stored(store.names(), identity)
    missing = [name for name in work.names() if tuple(name) not in done]
    if not missing:
        return
    say(f"{spec.label}: {len(missing):,} of {len(missing) + len(done):,} blocks of gradient values ...")
    if prepared.job.cluster.address == IN_PROCESS or len(missing) == 1:
        finished: Iterator[str] = (work.store(name) for name in missing)
    else:
        from orchestrator.cluster.gradient_crew import computed_on_ray  # noqa: PLC0415 - Ray takes seconds to import

        fixed = replace(request, block_rows=work.block_rows)
        finished = computed_on_ray(prepared.job, fixed, missing, count=workers_that_fit(prepared.job))
    for count, _ in enumerate(finished, 1):
        session.lease.check()
        if stopping() and count < len(missing):
            raise Interrupted(
                f"stopped after {count:,} of {len(missing):,} blocks of {spec.label}",
                signal_number=stopping(),
                mend=f"go on: apportion resume {prepared.job.origin.path or 'JOB'}",
            )


def _models(session: Session, count: int) -> Models:
    """Models of the whole training set, replicates 0, 1, ..., the same each time."""
    members, seeds = _whole(session, count)
    learner = keeper_of(session.prepared.learner(device=device_of(session.prepared.job)))
    return learner.trained(np.repeat(members[None], count, axis=0), seeds)


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
