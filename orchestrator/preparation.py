"""Everything about a job that can be known before a store is opened or a worker is started."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from estimators.designs import Parameters, design_made
from estimators.designs.protocol import Design
from orchestrator.checks.campaigns import values_of
from orchestrator.checks.designs import design_parameters
from orchestrator.checks.gradients import refuse_misfits
from orchestrator.checks.whole_job import load_checked
from orchestrator.data.datasets import LoadedData
from orchestrator.fingerprint import fingerprints
from orchestrator.jobs.job import CampaignSpec, Job, UntilBudget
from workers.chunk_types import Fingerprints
from workers.dataset import Dataset
from workers.keeping import model_bytes
from workers.learner import Learner
from workers.learner_specs import FunctionSpec, TorchSpec
from workers.learners import make_learner
from workers.smoke import SmokeReport, smoke_retrain
from workers.user_code import CodeSnapshot, snapshot_code


@dataclass(frozen=True, slots=True)
class PlannedCampaign:
    """A campaign of the job with its design made.

    id: its name in the store. draws: what the budget asks, in whole units.
    """

    id: str
    name: str
    spec: CampaignSpec
    parameters: Parameters
    design: Design
    seed: int
    draws: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked job: data, user code, fingerprints, designs and the values asked for."""

    job: Job
    loaded: LoadedData
    code: CodeSnapshot | None
    fingerprints: Fingerprints
    campaigns: tuple[PlannedCampaign, ...]
    values: tuple[str, ...]

    def learner(self, data: Dataset | None = None, *, together: int | None = None, device: str = "auto") -> Learner:
        """The job's learner in this process, on the job's data or on another."""
        return make_learner(
            self.job.learner,
            self.loaded.dataset if data is None else data,
            self.code,
            device=device,
            together=together,
            devices=devices_of(self.job),
        )


def devices_of(job: Job) -> int:
    """How many devices one retrain takes: the whole GPUs of a worker."""
    return max(1, int(job.workers.gpus))


def prepare(job: Job, say: Callable[[str], None]) -> Prepared:
    """Load data and code, check everything that is free to check; raises JobError naming every problem found."""
    loaded, notes = load_checked(job)
    for note in notes:
        say(f"note: {note}")
    return prepared_on(job, loaded)


def prepared_on(job: Job, loaded: LoadedData) -> Prepared:
    """The same of a job that was checked, on its data."""
    code = user_code(job)
    prints = fingerprints(loaded, job.learner, code)
    campaigns = tuple(_planned(job, spec, loaded, prints) for spec in job.campaigns)
    return Prepared(
        job=job,
        loaded=loaded,
        code=code,
        fingerprints=prints,
        campaigns=campaigns,
        values=values_of(job, [each.design for each in campaigns]),
    )


def user_code(job: Job) -> CodeSnapshot | None:
    """The user's source files that the learner names, or None where it needs none."""
    learner = job.learner
    if isinstance(learner, TorchSpec):
        return snapshot_code(str(job.folder), learner.model)
    if isinstance(learner, FunctionSpec):
        return snapshot_code(str(job.folder), learner.function)
    return None


def smoke(prepared: Prepared, *, together: int | None = None) -> SmokeReport:
    """Train a few retrains in this process and check what the learner declares; raises LearnerError, JobError.

    together: K, where it was chosen.
    """
    learner = prepared.learner(together=together)
    refuse_misfits(prepared.job, learner)
    report = smoke_retrain(learner, prepared.loaded.dataset, prepared.learner, prepared.job.seed)
    return replace(report, model_bytes=model_bytes(learner)) if prepared.job.learner.keep else report


def _planned(job: Job, spec: CampaignSpec, loaded: LoadedData, prints: Fingerprints) -> PlannedCampaign:
    n, seed = loaded.dataset.n, job.seed if spec.seed is None else spec.seed
    parameters = design_parameters(spec, loaded.material)
    design = design_made(spec.design, parameters, n=n, seed=seed, material=loaded.material)
    given = parameters.given()
    first = [given.pop(name, None) for name in ("size", "fraction", "probability")]
    more = [*([given] if given else []), *_kept(job), *([prints.train] if job.data.versions else [])]
    identity = json.dumps([spec.design, *first, seed, n, *more], sort_keys=True)
    digest = hashlib.blake2b(identity.encode(), digest_size=4).hexdigest()
    return PlannedCampaign(
        id=f"{spec.design}-{digest}",
        name=spec.name or spec.design,
        spec=spec,
        parameters=parameters,
        design=design,
        seed=seed,
        draws=_draws(spec, design),
    )


def _kept(job: Job) -> list[object]:
    """What a learner is told to keep, where it is told: campaigns that keep other losses have plans of their own."""
    learner = job.learner
    if isinstance(learner, FunctionSpec) or (not learner.losses and learner.train_losses):
        return []
    return [sorted(learner.losses), learner.train_losses]


def _draws(spec: CampaignSpec, design: Design) -> int:
    if design.draw_count is not None:
        return design.draw_count
    budget = spec.retrains.until.at_most if isinstance(spec.retrains, UntilBudget) else spec.retrains
    assert budget is not None, "checked: a random design needs a budget"
    return budget - budget % design.unit_rows
