"""Carry out the gradient methods of a job: the blocks that the store lacks, in this process or on Ray."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from estimators.seeding import retrain_seeds
from orchestrator.errors import Interrupted
from orchestrator.gradients.identity import gradient_identity, gradient_store
from orchestrator.gradients.reading import read_gradient
from orchestrator.placement import IN_PROCESS, device_of, workers_that_fit
from orchestrator.session import Session
from workers.chunk_store import ChunkStore
from workers.gradient_file import blocks_stored
from workers.gradient_specs import GradientSpec
from workers.keeping import Models, keeper_of

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
        models=_models(session, spec.models_needed),
        address=store.address,
        identity=identity,
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
    plan = session.campaigns[0].campaign.plan
    ends = plan.end_rows()
    whole = int(np.flatnonzero(ends.members.all(axis=1))[0])
    seeds = retrain_seeds(plan.facts.learner_seed, [ends.keys[whole]] * count, np.arange(count, dtype=np.int64))
    learner = keeper_of(session.prepared.learner(device=device_of(session.prepared.job)))
    return learner.trained(np.repeat(ends.members[whole : whole + 1], count, axis=0), seeds)
