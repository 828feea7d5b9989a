"""Where a job's retrains keep their state in the middle: beside the chunks, or in a folder that the job names."""

from pathlib import Path

from orchestrator.errors import JobError
from orchestrator.jobs.job import Job
from orchestrator.tracking.place import folder_of
from workers.checkpointing import CheckpointPlace, clear_campaign
from workers.durations import seconds_of
from workers.learner_specs import FunctionSpec, TorchSpec

BESIDE_CHUNKS = "checkpoints"


def checkpoint_place(job: Job, chunks_address: str) -> CheckpointPlace | None:
    """The place for a campaign whose chunks stand at `chunks_address`, None where the learner keeps no checkpoints.

    Raises JobError where the chunks stand in no folder and the job names none.
    """
    learner = job.learner
    spec = learner.checkpoint if isinstance(learner, (TorchSpec, FunctionSpec)) else None
    if spec is None:
        return None
    if spec.folder is not None:
        return CheckpointPlace(str((job.folder / Path(spec.folder).expanduser()).absolute()), seconds_of(spec.every))
    if "://" in chunks_address and not chunks_address.startswith("file://"):
        raise JobError(
            "the chunks of this store stand in no folder, so that checkpoints need one of their own",
            where=job.origin.where("learner", "checkpoint"),
            mend="name one that all workers reach: checkpoint: {folder: /shared/checkpoints}",
        )
    folder = folder_of(chunks_address) or Path(chunks_address)
    return CheckpointPlace(str(folder / BESIDE_CHUNKS), seconds_of(spec.every))


def clear_checkpoints(place: CheckpointPlace | None, campaign: str) -> None:
    """Remove what killed workers left of a campaign's checkpoints, once all of its rows are stored."""
    if place is not None:
        clear_campaign(Path(place.folder), campaign)
