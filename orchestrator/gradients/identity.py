"""What names the gradient values of a job, and where they stand."""

import hashlib
import json
from dataclasses import asdict

from orchestrator.errors import JobError
from orchestrator.preparation import PlannedCampaign, Prepared
from orchestrator.tracking.runs import JobRun
from orchestrator.tracking.tracker import Tracker
from workers.chunk_store import ChunkStore
from workers.chunk_types import Fingerprints
from workers.gradient_specs import GradientSpec
from workers.stores import open_chunk_store

ARITHMETIC_VERSION = 4
"""Raised where values of the same entry become others, a default of `GradientSpec` that is another included."""
_APART = ("name", "campaign")


def gradient_identity(spec: GradientSpec, prepared: Prepared) -> str:
    """A hash of the method with its options, and of data, learner, code and the campaign whose models it takes.

    The entry's own name is no part of it, nor is what it leaves unsaid, so that an option added later changes nothing.
    """
    unsaid = asdict(GradientSpec(method=spec.method)) | {"method": None}
    options = {name: value for name, value in asdict(spec).items() if value != unsaid[name] and name not in _APART}
    if spec.campaign is not None:
        options["campaign"] = campaign_named(spec.campaign, prepared).id
    text = json.dumps([ARITHMETIC_VERSION, options, asdict(prepared.fingerprints)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def run_identity(recorded: str, fingerprints: Fingerprints) -> str:
    """A hash of what is recorded of the run, and of data, learner and code; entries that ask for the same share it."""
    text = json.dumps([ARITHMETIC_VERSION, "run", recorded, asdict(fingerprints)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def campaign_named(name: str, prepared: Prepared) -> PlannedCampaign:
    """The job's campaign of that name; raises JobError naming those there are."""
    found = next((each for each in prepared.campaigns if name in {each.name, each.id}), None)
    if found is None:
        known = ", ".join(each.name for each in prepared.campaigns)
        raise JobError(f"gradients: there is no campaign {name!r}", mend=f"campaigns: {known}")
    return found


def gradient_store(tracker: Tracker, parent: JobRun) -> ChunkStore:
    """Where blocks stand: beside the files of the job's run."""
    return open_chunk_store(tracker.files_address(parent.run_id), persist=tracker.patience)
