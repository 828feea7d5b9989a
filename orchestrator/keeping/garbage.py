"""What no campaign refers to: shown, and removed when that is asked for.

    joined      small files whose rows all stand in larger ones, which are read back whole first
    unplanned   files none of whose rows is in the plan of any campaign (trained beyond a stop)
    manifest    lists of rows that no run names any more
    deleted     chunks of campaigns whose runs were deleted in MLflow (in a folder; a server keeps those itself)
    temporary   what killed writers have left
    gradient    blocks, runs and models of gradient values that no entry of the job refers to

Nothing else is touched: not what was set aside, not the read cache, not a plan.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from estimators.errors import EstimatorError
from orchestrator.errors import StoreRefused
from orchestrator.gradients.identity import gradient_store
from orchestrator.keeping.gradient_files import unreferred_gradient_files
from orchestrator.plan import PLAN_FILE, PlanFacts, RowId
from orchestrator.results import StoredJob
from orchestrator.store.compaction import rows_that_count
from orchestrator.store.manifest import MANIFEST_TAG, is_manifest
from orchestrator.store.row_names import FileId
from orchestrator.tracking.artifacts import CHUNKS, LocalArtifacts
from orchestrator.tracking.runs import CampaignRun
from orchestrator.versions import stored_plan
from workers.chunk_name import parse_name
from workers.chunk_store import ChunkStore, Tidying
from workers.errors import ChunkError
from workers.stores.folder import FolderStore
from workers.whole_file import sweep

Kind = Literal["joined", "unplanned", "manifest", "deleted", "temporary", "gradient"]


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file or folder that no campaign refers to. place: for people; campaign: its id, where it has one."""

    kind: Kind
    name: str
    place: str
    bytes: int
    campaign: str = ""


def garbage(stored: StoredJob) -> list[Garbage]:
    """Everything that no campaign refers to; the store is listed, and files that replace others are read whole.

    Raises StoreRefused where a file that would have to replace others is damaged.
    """
    stored.store.refresh(listing=True)
    found = [each for run in stored.runs for each in _of_campaign(stored, run)]
    return [*found, *_of_deleted_runs(stored), *_of_gradients(stored)]


def remove(stored: StoredJob, found: list[Garbage]) -> int:
    """Remove what was found and return the bytes; to be called under the lease."""
    for each in found:
        if each.kind == "deleted":
            shutil.rmtree(each.place)
        elif each.kind == "temporary":
            sweep(Path(each.place))
        elif each.kind == "gradient":
            _remove_file(gradient_store(stored.tracker, stored.parent), each)
        else:
            _remove_file(stored.store.chunks.stores[each.campaign], each)
    return sum(each.bytes for each in found)


def _remove_file(store: ChunkStore, file: Garbage) -> None:
    if not isinstance(store, Tidying):
        raise StoreRefused(f"files cannot be removed from {file.place}", mend=f"remove {file.name} by hand")
    store.remove(file.name)


def _of_campaign(stored: StoredJob, run: CampaignRun) -> Iterator[Garbage]:
    store = stored.store.chunks.stores[run.campaign_id]
    names = store.names()
    yield from _chunks(stored, run, store)
    for name in names:
        if is_manifest(name) and name != run.tags.get(MANIFEST_TAG):
            yield Garbage("manifest", name, store.address, len(store.get(name)), run.campaign_id)
    yield from _temporaries(store, run.campaign_id)


def _temporaries(store: ChunkStore, campaign: str = "") -> Iterator[Garbage]:
    if isinstance(store, FolderStore) and store.folder.is_dir():
        size = sum(path.stat().st_size for path in store.folder.glob(".*.tmp"))
        if size:
            yield Garbage("temporary", ".*.tmp", store.address, size, campaign)


def _of_gradients(stored: StoredJob) -> Iterator[Garbage]:
    store = gradient_store(stored.tracker, stored.parent)
    for name in unreferred_gradient_files(stored):
        yield Garbage("gradient", name, store.address, len(store.get(name)))
    yield from _temporaries(store)


def _chunks(stored: StoredJob, run: CampaignRun, store: ChunkStore) -> Iterator[Garbage]:
    counting = rows_that_count(stored.store, run.campaign_id)
    used = {file for file, _, _ in counting.values()}
    planned = _planned(stored)
    needed = {file for row, (file, _, _) in counting.items() if planned is None or row in planned}
    facts = {file: each for file, each in stored.store.file_facts().items() if file.campaign == run.campaign_id}
    replaced = sorted(set(facts) - used)
    if replaced:
        _verify(stored, sorted(used))
    for file in replaced:
        yield Garbage("joined", file.name, store.address, facts[file].bytes, run.campaign_id)
    for file in sorted(used - needed):
        yield Garbage("unplanned", file.name, store.address, facts[file].bytes, run.campaign_id)


def _verify(stored: StoredJob, files: list[FileId]) -> None:
    """Read whole what stands for files that are to go."""
    for file in files:
        try:
            stored.store.chunks.chunk(file)
        except ChunkError as error:
            raise StoreRefused([stored.store.chunks.problem(file, error)]) from error


def _planned(stored: StoredJob) -> set[RowId] | None:
    """Rows of all campaigns' plans; None where one has no plan that can be read: then nothing counts as unplanned."""
    rows: set[RowId] = set()
    for run in stored.runs:
        store = stored.store.chunks.stores[run.campaign_id]
        if PLAN_FILE not in store.names():
            return None
        try:
            plan = stored_plan(stored.prepared, run, PlanFacts.decode(store.get(PLAN_FILE)))
        except EstimatorError:
            return None
        rows.update(plan.row_ids())
    return rows


def _of_deleted_runs(stored: StoredJob) -> Iterator[Garbage]:
    artifacts = stored.tracker.artifacts
    if not isinstance(artifacts, LocalArtifacts) or not artifacts.root.is_dir():
        return
    known = {stored.parent.run_id, *(run.run_id for run in stored.runs)}
    for folder in sorted(artifacts.root.iterdir()):
        chunks = folder / "artifacts" / CHUNKS
        if folder.name in known or not chunks.is_dir():
            continue
        if any(parse_name(path.name) is not None for path in chunks.iterdir()):
            size = sum(path.stat().st_size for path in chunks.rglob("*") if path.is_file())
            yield Garbage("deleted", folder.name, str(chunks), size)
