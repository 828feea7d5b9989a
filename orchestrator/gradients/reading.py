"""Gradient values read from a job's store."""

from collections.abc import Mapping

from estimators.errors import EstimatorError
from estimators.gradient.registry import gradient_method
from estimators.influence import Influence, InstanceValues
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import JobError, StoreRefused
from orchestrator.gradients.assembling import Assembled, assembled
from orchestrator.gradients.grouping import groups_of
from orchestrator.gradients.identity import gradient_identity, gradient_store
from orchestrator.gradients.values import GradientValues, gradient_values
from orchestrator.jobs.job import Job
from orchestrator.preparation import Prepared, prepared_on
from orchestrator.tracking.tracker import Tracker
from orchestrator.wording import counted
from workers.chunk_store import ChunkStore
from workers.errors import ChunkError
from workers.gradient_file import blocks_stored
from workers.gradient_specs import GradientSpec


def read_gradient(prepared: Prepared, spec: GradientSpec, store: ChunkStore) -> GradientValues:
    """What one entry of the job's `gradients` gave. Raises JobError where blocks are missing, StoreRefused for damage.

    Standard errors are NaN but for random projections: other values have no sampling error, and how far they are from
    retraining is not known here.
    """
    found = whole_values(prepared, spec, store)
    if found is None:
        raise JobError(
            f"the values of {spec.label} are not whole in the store yet",
            mend=f"go on: apportion run {prepared.job.origin.path or 'JOB'}",
        )
    return found


def whole_values(prepared: Prepared, spec: GradientSpec, store: ChunkStore) -> GradientValues | None:
    """The same, None where blocks are missing."""
    data = prepared.loaded.dataset
    blocks = blocks_stored(store.names(), gradient_identity(spec, prepared))
    names = () if spec.grouped_by is None else groups_of(prepared.loaded, spec.grouped_by)[1]
    try:
        found = assembled(spec, blocks, store, (data.n, data.n_test), len(names))
    except ChunkError as error:
        raise StoreRefused(str(error), mend="remove the file; `apportion run JOB` computes it again") from error
    if found is None:
        return None
    notes, warnings = _notes(spec, found), _warnings(spec, found.facts)
    return gradient_values(spec, found.loss, found.parts, found.facts, notes, warnings, names)


def stored_values(job: Job, loaded: LoadedData, spec: GradientSpec) -> GradientValues:
    """The entry's values from the job's store. Raises as `read_gradient`, and where the job has no store."""
    tracker = Tracker.open(job.store, job.folder, job.name, create=False)
    parent = None if tracker is None else tracker.find_job_run()
    if tracker is None or parent is None:
        raise JobError(
            f"job {job.name!r} has no results yet", mend=f"start it: apportion run {job.origin.path or 'JOB'}"
        )
    return read_gradient(prepared_on(job, loaded), spec, gradient_store(tracker, parent))


def stored_gradient(
    job: Job, loaded: LoadedData, spec: GradientSpec, *, others: str | None = None
) -> Influence | InstanceValues:
    """The entry's influence [n, n_test], or its data values or self-influence [n] where it gives only these.

    others: a function, an average or a test set that was asked for beside it, which these values do not have.
    Raises JobError where they are not whole yet, EstimatorError where something else was asked for.
    """
    if others:
        raise EstimatorError(f"{spec.label} is a gradient method's value: of the training loss on the job's own tests")
    found = stored_values(job, loaded, spec)
    value = found.influence or found.mean or (found.self_influence if spec.given == "self" else None)
    if value is None:
        raise EstimatorError(
            f"{spec.label} gives {spec.given}, neither a matrix nor a number an instance: from Python, "
            f"result.gradient({spec.label!r})"
        )
    return value


def _notes(spec: GradientSpec, found: Assembled) -> tuple[str, ...]:
    method = gradient_method(spec.method)
    means = "estimates a difference of losses" if method.scale == "loss" else "only its order and ratios mean something"
    notes = [f"scale {method.scale}: {means}; {_error_words(found)}"]
    notes += [note for note in (_solver_words(found.facts), _stationarity_words(found.facts)) if note]
    record = method.estimator
    if record is not None and record.weights == "instances" and method.scale == "loss":
        form = "the divisor stays n" if found.deletion == "sum" else "the mean is then over n - 1"
        notes.append(f"leaving an instance out: {form}, as this learner has it")
    if method.runner == "trak":
        whose = "of the whole training set" if spec.campaign is None else f"that campaign {spec.campaign} kept"
        notes.append(f"mean over {counted(spec.models, 'model')} {whose}")
    if spec.instances is not None:
        notes.append(f"{counted(spec.instances, 'training instance')} drawn by seed {spec.seed}; others are unknown")
    return (*notes, *found.notes)


def _error_words(found: Assembled) -> str:
    if found.parts.variances is None:
        return "no sampling error"
    return "standard errors are over random projections, of the distance to values without projection"


def _solver_words(facts: Mapping[str, float]) -> str:
    said = [f"{name} {value:.4g}" for name, value in sorted(facts.items()) if name != "stationarity"]
    return "solver: " + ", ".join(said) if said else ""


def _stationarity_words(facts: Mapping[str, float]) -> str:
    if "stationarity" not in facts:
        return ""
    return (
        f"stationarity {facts['stationarity']:.2g}: the objective's gradient over the length of a typical instance's; "
        "0 at a minimum"
    )


def _warnings(spec: GradientSpec, facts: Mapping[str, float]) -> tuple[str, ...]:
    found = []
    tolerance, residual = facts.get("tolerance", spec.tolerance), facts.get("residual", 0.0)
    if not residual <= tolerance:
        found.append(f"the solver's residual {residual:.2g} is above its tolerance {tolerance:.2g}")
    if facts.get("eigenvalues clipped"):
        found.append(f"{facts['eigenvalues clipped']:.0f} negative eigenvalues were taken as 0")
    return tuple(found)


def gradient_spec(job: Job, label: str) -> GradientSpec | None:
    """The entry of the job's `gradients` whose values are called so."""
    return next((spec for spec in job.gradients if spec.label == label), None)
