"""Every file of a store read whole and checked; what is bad is set aside, never deleted.

After a repair nothing names the files that were set aside, so that `resume` trains exactly the rows that they held.
Models cannot be had without a retrain, so the chunk of a bad file of models goes with it. Losses on added test sets
(side files) are made again by `extend`, blocks of gradient values, their models and recorded runs by `resume`.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.errors import StoreRefused
from orchestrator.gradients.identity import gradient_store
from orchestrator.keeping.gradient_files import bad_gradient_files, lists_naming
from orchestrator.plan import PLAN_FILE, PlanFacts
from orchestrator.results import StoredJob
from orchestrator.store.manifest import MANIFEST_TAG, decode_manifest, is_manifest
from orchestrator.store.row_names import FileId
from orchestrator.tracking.runs import CampaignRun
from workers.chunk_file import decode_keys
from workers.chunk_name import HASH_DIGITS, RETRAINS, content_hash, parse_name, parsed_of_any_kind
from workers.chunk_store import ChunkStore, Tidying
from workers.errors import ChunkError
from workers.identity_file import decode_identities, encode_identities, identities_name
from workers.model_file import beside, models_of_chunk

GONE = "gone: the campaign's manifest names it"


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is damaged, foreign or gone. campaign: whose run it belongs to, None for gradient values."""

    campaign: CampaignRun | None
    name: str
    what: str

    @property
    def owner(self) -> str:
        """Whose it is, for people."""
        return "gradients" if self.campaign is None else self.campaign.name

    @property
    def is_gone(self) -> bool:
        """Whether there is nothing to set aside."""
        return self.what.startswith("gone: ")


def bad_files(stored: StoredJob, say: Callable[[int], None] | None = None) -> Iterator[BadFile]:
    """Read every file of every campaign, and of gradient values; say: told how many were read so far."""
    read = 0
    for run in stored.runs:
        store = stored.store.chunks.stores[run.campaign_id]
        names = store.names()
        yield from (BadFile(run, name, GONE) for name in sorted(_named(run, store) - set(names)))
        for name in names:
            what = _trouble(stored, run, store, name)
            if what:
                yield BadFile(run, name, what)
            read += 1
            if say is not None:
                say(read)
    for name, what in bad_gradient_files(stored):
        if what:
            yield BadFile(None, name, what)
        if not what.startswith("gone: "):
            read += 1
            if say is not None:
                say(read)


def repair(stored: StoredJob, bad: list[BadFile]) -> list[str]:
    """Set bad files aside and say where they are now; to be called under the lease.

    Lists of identities are written anew from the data. Raises StoreRefused where the store cannot move files.
    """
    places = []
    for each in bad:
        store = _store_of(stored, each)
        lists = lists_naming(store, each.name) if each.campaign is None else []
        moved = [*lists] if each.is_gone else [each.name, *lists, *_chunks_of_models(store, each.name)]
        if not moved:
            continue
        if not isinstance(store, Tidying):
            raise StoreRefused(f"files cannot be moved in {store.address}", mend=f"move {each.name} away by hand")
        places += [store.set_aside(name) for name in moved]
        _write_identities(stored, store, each.name)
    for run in {each.campaign.run_id: each.campaign for each in bad if each.campaign is not None}.values():
        if run.tags.get(MANIFEST_TAG):
            stored.tracker.set_tags(run.run_id, {MANIFEST_TAG: ""})
    return places


def _store_of(stored: StoredJob, file: BadFile) -> ChunkStore:
    if file.campaign is None:
        return gradient_store(stored.tracker, stored.parent)
    return stored.store.chunks.stores[file.campaign.campaign_id]


def is_side_file(name: str) -> bool:
    """Whether a file holds losses on a test set that was added."""
    named = parsed_of_any_kind(name)
    return named is not None and named.kind == "side"


def _chunks_of_models(store: ChunkStore, name: str) -> list[str]:
    """The chunks whose models stand in a file; none for a file of another kind."""
    key = models_of_chunk(name)
    if key is None:
        return []
    parsed = ((other, parse_name(other)) for other in store.names())
    return [other for other, chunk in parsed if chunk is not None and beside(chunk) == key]


def _trouble(stored: StoredJob, run: CampaignRun, store: ChunkStore, name: str) -> str:
    """What is wrong with a file, "" where nothing is, or where it is none of ours."""
    try:
        named = parsed_of_any_kind(name)
        if named is not None and named.kind == RETRAINS:
            problems = stored.store.chunks.opened(FileId(name, run.campaign_id), whole=True)[2]
            return problems[0].what if problems else ""
        if named is not None:
            decode_keys(store.get(name), name=name)
        elif is_manifest(name):
            decode_manifest(name, store.get(name))
        elif name.startswith("identities-"):
            decode_identities(store.get(name))
        elif name == PLAN_FILE:
            PlanFacts.decode(store.get(name))
        elif models_of_chunk(name) is not None:
            return _models_trouble(name, store.get(name))
    except ChunkError as error:
        return str(error).removeprefix(f"{name}: ")
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        return f"cannot be read: {type(error).__name__}"
    return ""


def _models_trouble(name: str, content: bytes) -> str:
    said = name.rpartition(".")[0][-HASH_DIGITS:]
    return "" if content_hash(content) == said else "damaged: its content has another SHA-256 than its name says"


def _named(run: CampaignRun, store: ChunkStore) -> set[str]:
    """The files that the campaign's manifest names."""
    manifest = run.tags.get(MANIFEST_TAG)
    if not manifest:
        return set()
    try:
        _, table = decode_manifest(manifest, store.get(manifest))
    except ChunkError:
        return set()  # found when it is read itself
    return set(table.files.names.to_pylist())


def _write_identities(stored: StoredJob, store: ChunkStore, name: str) -> None:
    prints, loaded = stored.store.fingerprints, stored.loaded
    if name == identities_name("train", prints.train):
        store.put(name, encode_identities(loaded.train_identities, role="train", version=prints.train))
    if name == identities_name("test", prints.test):
        store.put(name, encode_identities(loaded.test_identities, role="test", version=prints.test))
