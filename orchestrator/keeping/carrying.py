"""A store handed on: exported as one folder with a list of hashes, and merged into a store of equal fingerprints."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import JobError, ResourceMissing, StoreRefused
from orchestrator.fingerprint import explain_difference
from orchestrator.jobs.job_text import replayable
from orchestrator.plan import PLAN_FILE, PlanFacts
from orchestrator.results import DRAWS_TAG, RETRAINS_TAG, StoredJob
from orchestrator.store.manifest import MANIFEST_TAG, is_manifest
from orchestrator.tracking.runs import CampaignRun
from workers.chunk_file import decode_keys
from workers.chunk_name import parsed_of_any_kind
from workers.chunk_store import ChunkStore
from workers.chunk_types import Fingerprints
from workers.errors import ChunkError
from workers.stores.folder import FolderStore
from workers.stores.store_names import checked_name

LISTING = "store.json"
EXPORT_VERSION = 1


@dataclass(frozen=True, slots=True)
class SourceCampaign:
    """A campaign of a store to be merged. draws, retrains: as its run's tags say. hashes: name -> SHA-256, if known."""

    id: str
    name: str
    draws: str
    retrains: str
    chunks: ChunkStore
    hashes: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A store to be merged."""

    place: str
    fingerprints: Fingerprints
    campaigns: tuple[SourceCampaign, ...]


def export(stored: StoredJob, folder: Path) -> tuple[int, int]:
    """Write the whole store into a new folder and return (files, bytes); it appears whole or not at all.

    Raises JobError where something is there already, ResourceMissing where the disk fails.
    """
    if folder.exists():
        raise JobError("is there already", where=str(folder), mend="name a folder that is not there")
    building = folder.with_name(f".{folder.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        building.mkdir(parents=True, mode=0o700)
        campaigns = [_exported(stored, run, building) for run in stored.runs]
        listing = {
            "version": EXPORT_VERSION,
            "job": stored.job.name,
            "fingerprints": asdict(stored.store.fingerprints),
            "n": stored.store.n,
            "n_test": stored.store.n_test,
            "campaigns": campaigns,
        }
        (building / "job.yaml").write_text(replayable(stored.job), encoding="utf-8")
        (building / LISTING).write_text(json.dumps(listing, indent=1, sort_keys=True), encoding="utf-8")
        building.rename(folder)
    except OSError as error:
        raise ResourceMissing(
            f"cannot be written: {error.strerror or error}", where=str(folder), mend="make room, or name another folder"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    files = [file for campaign in campaigns for file in campaign["files"]]
    return len(files), sum(file["bytes"] for file in files)


def exported_source(folder: Path) -> Source:
    """An exported folder as a source; raises JobError where it is none, StoreRefused where its list is damaged."""
    try:
        listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise JobError(
            f"holds no {LISTING}", where=str(folder), mend="name a folder that `apportion export` wrote, or a job file"
        ) from None
    except (OSError, ValueError) as error:
        raise StoreRefused(f"{LISTING} cannot be read", where=str(folder), mend="export the store again") from error
    try:
        if listing["version"] > EXPORT_VERSION:
            raise StoreRefused(
                f"exported in version {listing['version']}", where=str(folder), mend="install a newer apportion"
            )
        campaigns = tuple(_listed(folder, each) for each in listing["campaigns"])
        return Source(str(folder), Fingerprints(**listing["fingerprints"]), campaigns)
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreRefused(f"{LISTING} lacks facts", where=str(folder), mend="export the store again") from error


def job_source(stored: StoredJob) -> Source:
    """Another job's store as a source."""
    campaigns = tuple(
        SourceCampaign(run.campaign_id, run.name, *_counts(run), run.chunk_store()) for run in stored.runs
    )
    return Source(stored.tracker.place.shown, stored.store.fingerprints, campaigns)


def refuse_other_store(stored: StoredJob, source: Source) -> None:
    """Raise StoreRefused, naming what differs, unless the fingerprints are equal."""
    difference = explain_difference(source.fingerprints, stored.store.fingerprints)
    if difference:
        what = difference.replace("in the store", "there").replace("now", "here").rpartition("\n")[0]
        raise StoreRefused(what, where=source.place, mend="only stores of equal data, learner and code are joined")


def merge(stored: StoredJob, source: Source, say: Callable[[str], None]) -> int:
    """Put what the source's campaigns have and these lack; returns files put. To be called under the lease.

    Every file is checked before it is put. A campaign that this store has keeps its own plan; another one gets a run.
    """
    refuse_other_store(stored, source)
    known = {run.campaign_id: run for run in stored.runs}
    put = 0
    for campaign in source.campaigns:
        files = _checked_files(campaign, stored)
        run = known.get(campaign.id) or _new_run(stored, campaign, files)
        chunks = run.chunk_store()
        there = set(chunks.names())
        if run.tags.get(MANIFEST_TAG):
            stored.tracker.set_tags(run.run_id, {MANIFEST_TAG: ""})
        new = [name for name in files if name not in there]
        for name in new:
            chunks.put(name, campaign.chunks.get(name))
        put += len(new)
        say(f"{campaign.name}: {len(new)} of {len(files)} files are new here")
    return put


def _exported(stored: StoredJob, run: CampaignRun, building: Path) -> dict[str, Any]:
    chunks = stored.store.chunks.stores[run.campaign_id]
    target = building / "chunks" / checked_name(run.campaign_id)
    target.mkdir(parents=True, mode=0o700)
    files = []
    for name in chunks.names():
        if is_manifest(name):
            continue
        content = chunks.get(name)
        (target / checked_name(name)).write_bytes(content)
        files.append({"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    draws, retrains = _counts(run)
    return {"id": run.campaign_id, "name": run.name, "draws": draws, "retrains": retrains, "files": files}


def _listed(folder: Path, campaign: dict[str, Any]) -> SourceCampaign:
    hashes = {checked_name(file["name"]): str(file["sha256"]) for file in campaign["files"]}
    chunks = FolderStore(folder / "chunks" / checked_name(campaign["id"]))
    return SourceCampaign(
        campaign["id"], str(campaign["name"]), str(campaign["draws"]), str(campaign["retrains"]), chunks, hashes
    )


def _counts(run: CampaignRun) -> tuple[str, str]:
    return run.tags.get(DRAWS_TAG, "0"), run.tags.get(RETRAINS_TAG, "0")


def _checked_files(campaign: SourceCampaign, stored: StoredJob) -> list[str]:
    """Names of a campaign's files, each read and checked; raises StoreRefused naming the first that is wrong."""
    names = [name for name in campaign.chunks.names() if not is_manifest(name)]
    absent = sorted(set(campaign.hashes or ()) - set(names))
    if absent:
        raise StoreRefused(f"{absent[0]} is not there", where=campaign.chunks.address, mend="export the store again")
    for name in names:
        content, where = campaign.chunks.get(name), f"{campaign.chunks.address}/{name}"
        wanted = None if campaign.hashes is None else campaign.hashes.get(name, "")
        if wanted is not None and hashlib.sha256(content).hexdigest() != wanted:
            raise StoreRefused("damaged, or not in its list of files", where=where, mend="export the store again")
        if parsed_of_any_kind(name) is not None:
            try:
                header = decode_keys(content, name=name).header
            except ChunkError as error:
                raise StoreRefused(str(error), where=where, mend="export the store again") from error
            if header.kind == "retrains" and header.fingerprints != stored.store.fingerprints:
                raise StoreRefused("of other data, learner or code than its store", where=where, mend="leave it out")
    return sorted(names, key=lambda name: (name != PLAN_FILE, name))


def _new_run(stored: StoredJob, campaign: SourceCampaign, files: Sequence[str]) -> CampaignRun:
    if PLAN_FILE not in files:
        raise StoreRefused(f"campaign {campaign.name} has no plan", where=campaign.chunks.address)
    facts = PlanFacts.decode(campaign.chunks.get(PLAN_FILE))
    run = stored.tracker.campaign_run(
        campaign.id,
        name=campaign.name,
        parent=stored.parent,
        parameters={"design": facts.design, "seed": facts.seed, "n": facts.n, **facts.parameters.given()},
        tags={DRAWS_TAG: campaign.draws, RETRAINS_TAG: campaign.retrains, "apportion.merged": "yes"},
        description=f"Campaign of another store, merged into this one: {facts.design}, n = {facts.n}.",
    )
    stored.tracker.finish(run.run_id, "FINISHED")
    return run
