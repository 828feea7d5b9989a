"""Gradient values read from a job's store, as an `Influence`."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.gradient.registry import gradient_method
from estimators.influence import Influence, InstanceValues
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import JobError
from orchestrator.fingerprint import fingerprints
from orchestrator.gradients.identity import gradient_identity, gradient_store
from orchestrator.jobs.job import Job
from orchestrator.preparation import user_code
from orchestrator.tracking.tracker import Tracker
from workers.chunk_store import ChunkStore
from workers.chunk_types import Fingerprints
from workers.gradient_file import StoredBlock, blocks_stored, read_block
from workers.gradient_specs import GradientSpec


@dataclass(frozen=True, slots=True)
class GradientValues:
    """Values with what their solver said of itself."""

    influence: Influence
    facts: dict[str, float]


def read_gradient(
    job: Job, loaded: LoadedData, spec: GradientSpec, store: ChunkStore, fingerprints: Fingerprints
) -> GradientValues:
    """The values [n, n_test] of one entry of the job's `gradients`: blocks summed over checkpoints.

    Standard errors are NaN: the values have no sampling error, and how far they are from retraining is not known here.
    Raises JobError where blocks are missing.
    """
    n, n_test = loaded.dataset.n, loaded.dataset.n_test
    values, covered = np.zeros((n, n_test)), np.zeros((n, n_test), dtype=np.int64)
    last: StoredBlock | None = None
    for (_, columns, rows), name in sorted(blocks_stored(store.names(), gradient_identity(spec, fingerprints)).items()):
        last = read_block(name, store.get(name))
        part = np.s_[rows : rows + last.scores.shape[0], columns : columns + last.scores.shape[1]]
        values[part] += last.scores
        covered[part] += 1
    if last is None or covered.min() == 0 or covered.min() != covered.max():
        raise JobError(
            f"the values of {spec.label} are not whole in the store yet",
            mend=f"go on: apportion run {job.origin.path or 'JOB'}",
        )
    facts: dict[str, float] = last.told["facts"]
    notes = _notes(spec, facts, last.told["notes"])
    return GradientValues(_influence(spec.label, last.told["loss"], values, notes), facts)


def stored_gradient(job: Job, loaded: LoadedData, spec: GradientSpec, *, others: str | None = None) -> Influence:
    """The values of an entry of the job's `gradients` from its store.

    others: a function, an average or a test set that was asked for beside it, which these values do not have.
    Raises JobError where they are not whole yet, EstimatorError where something else was asked for.
    """
    if others:
        raise EstimatorError(f"{spec.label} is a gradient method's value: of the training loss on the job's own tests")
    tracker = Tracker.open(job.store, job.folder, job.name, create=False)
    parent = None if tracker is None else tracker.find_job_run()
    if tracker is None or parent is None:
        raise JobError(
            f"job {job.name!r} has no results yet", mend=f"start it: apportion run {job.origin.path or 'JOB'}"
        )
    now = fingerprints(loaded, job.learner, user_code(job))
    return read_gradient(job, loaded, spec, gradient_store(tracker, parent), now).influence


def _notes(spec: GradientSpec, facts: dict[str, float], others: list[str]) -> tuple[str, ...]:
    method = gradient_method(spec.method)
    means = "estimates a difference of losses" if method.scale == "loss" else "only its order and ratios mean something"
    notes = [f"scale {method.scale}: {means}; no sampling error"]
    if facts:
        notes.append("solver: " + ", ".join(f"{name} {value:.3g}" for name, value in sorted(facts.items())))
    tolerance, residual = facts.get("tolerance", spec.tolerance), facts.get("residual", 0.0)
    if residual > tolerance:
        notes.append(f"warning: the solver's residual {residual:.2g} is above its tolerance {tolerance:.2g}")
    if facts.get("eigenvalues clipped"):
        notes.append(f"warning: {facts['eigenvalues clipped']:.0f} negative eigenvalues were taken as 0")
    return (*notes, *others)


def _influence(label: str, loss: str, values: FloatArray, notes: tuple[str, ...]) -> Influence:
    n, n_test = values.shape
    unknown = np.full(n, np.nan)
    mean = InstanceValues(
        value=label,
        loss=loss,
        values=values.mean(axis=1),
        standard_errors=unknown,
        degrees_of_freedom=unknown,
        train_index=np.arange(n),
        notes=notes,
    )
    return Influence(
        value=label,
        loss=loss,
        values=values,
        standard_errors=np.full((n, n_test), np.nan),
        degrees_of_freedom=np.full((n, n_test), np.nan),
        mean=mean,
        train_index=np.arange(n),
        test_index=np.arange(n_test),
        notes=notes,
    )


def gradient_spec(job: Job, label: str) -> GradientSpec | None:
    """The entry of the job's `gradients` whose values are called so."""
    return next((spec for spec in job.gradients if spec.label == label), None)
