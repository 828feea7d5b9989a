"""Small chunk files joined to large ones, and the manifest that lists what counts.

In this order: the large files are put, the manifest is put, the campaign's run names the manifest. Nothing is removed
here. Ended at any point, the store holds every row at least once, and a row that stands twice counts once; `apportion
gc` removes the small files afterwards, once the large ones have been read back whole.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.plan import RowId
from orchestrator.store.loss_store import LossStore
from orchestrator.store.manifest import ManifestFacts, ManifestRows, encode_manifest
from orchestrator.store.row_index import Counting
from orchestrator.store.row_names import FileFacts, FileId
from workers.chunk_file import chunk_name, encode
from workers.chunk_joining import joined
from workers.chunk_name import parse_name
from workers.model_file import beside, models_of_chunk

SMALL_BYTES = 8 * 2**20
LARGE_BYTES = 64 * 2**20
LEAST_FILES = 2

Step = Callable[[str], None]
"""Told what was just done: "joined" a file, "manifest" put, "named" by the run. Tests end the process there."""


def _silent(point: str) -> None:
    del point


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was done for one campaign: small files joined, large files they became, and the manifest's name."""

    campaign: str
    small: int
    large: int
    manifest: str


def compact(
    store: LossStore, campaign: str, name_manifest: Callable[[str], None], *, step: Step = _silent
) -> Compacted:
    """Join a campaign's small files and list its rows; to be called under the lease.

    name_manifest: makes the campaign's run name the manifest. Raises StoreRefused where a file is damaged.
    """
    store.refresh(listing=True)
    counting = rows_that_count(store, campaign)
    groups = groups_to_join(_candidates(store, campaign, counting))
    for group in groups:
        _join(store, group, counting)
        step("joined")
    store.refresh(listing=True)
    manifest = write_manifest(store, campaign, rows_that_count(store, campaign))
    step("manifest")
    name_manifest(manifest)
    step("named")
    return Compacted(campaign, sum(map(len, groups)), len(groups), manifest)


def groups_to_join(files: Sequence[tuple[FileId, FileFacts]]) -> list[list[FileId]]:
    """Which small files become one: equal in class, K and losses, in the order of their names, up to 64 MB together."""
    alike: dict[tuple[str, int, tuple[str, ...]], list[tuple[FileId, FileFacts]]] = defaultdict(list)
    for file, facts in sorted(files, key=lambda each: each[0]):
        if facts.bytes < SMALL_BYTES:
            alike[facts.numeric_class, facts.together, facts.losses].append((file, facts))
    return [group for same in alike.values() for group in _filled(same) if len(group) >= LEAST_FILES]


def rows_that_count(store: LossStore, campaign: str) -> Counting:
    """The campaign's rows, each in the one of its own files where it counts.

    A stored row beats a failure; a joined file, whose rows are those that counted before, beats what it was made of;
    then the smallest name wins, as it does for readers.
    """
    best: dict[RowId, tuple[bool, bool, FileId, int, str | None]] = {}
    for file in (file for file in store.files() if file.campaign == campaign):
        keys = store.keys(file)
        first = not keys.header.parts
        rows = zip(keys.keys, keys.replicates.tolist(), keys.failures, strict=True)
        for row, (key, replicate, reason) in enumerate(rows):
            here, known = (reason is not None, first, file, row, reason), best.get(RowId(key, replicate))
            if known is None or here[:3] < known[:3]:
                best[RowId(key, replicate)] = here
    return {row: (file, place, reason) for row, (_, _, file, place, reason) in best.items()}


def write_manifest(store: LossStore, campaign: str, counting: Counting) -> str:
    """Put the manifest of a campaign's rows that count, and return its name."""
    facts = store.file_facts()
    used = sorted({file for file, _, _ in counting.values()})
    place = {file: number for number, file in enumerate(used)}
    rows = ManifestRows(
        keys=np.frombuffer(b"".join(row.key for row in counting), dtype=np.uint8).reshape(-1, 16),
        replicates=np.array([row.replicate for row in counting], dtype=np.int64),
        file=np.array([place[file] for file, _, _ in counting.values()], dtype=np.int64),
        row=np.array([row for _, row, _ in counting.values()], dtype=np.int64),
        reasons={at: reason for at, (_, _, reason) in enumerate(counting.values()) if reason is not None},
        files=[(file.name, facts[file]) for file in used],
    )
    name, content = encode_manifest(ManifestFacts(campaign, store.fingerprints, store.n, store.n_test), rows)
    store.chunks.stores[campaign].put(name, content)
    return name


def _candidates(store: LossStore, campaign: str, counting: Counting) -> list[tuple[FileId, FileFacts]]:
    """Files of which rows count, but for those with kept models beside them, which are found by the chunk's name."""
    names = store.chunks.stores[campaign].names()
    with_models = {found for name in names if (found := models_of_chunk(name)) is not None}
    facts = store.file_facts()
    used = sorted({file for file, _, _ in counting.values()})
    parsed = ((file, parse_name(file.name)) for file in used)
    return [(file, facts[file]) for file, name in parsed if name is not None and beside(name) not in with_models]


def _filled(files: Sequence[tuple[FileId, FileFacts]]) -> Iterator[list[FileId]]:
    group, weight = list[FileId](), 0
    for file, facts in files:
        if group and weight + facts.bytes > LARGE_BYTES:
            yield group
            group, weight = [], 0
        group.append(file)
        weight += facts.bytes
    yield group


def _join(store: LossStore, group: Sequence[FileId], counting: Counting) -> None:
    chosen = []
    for file in group:
        chunk = store.chunk(file)
        rows = map(RowId, chunk.rows.keys, chunk.rows.replicates.tolist())
        mask = np.array([counting[row][:2] == (file, place) for place, row in enumerate(rows)], dtype=np.bool_)
        chosen.append((chunk, mask))
    whole = joined(chosen)
    content = encode(whole.header, whole.rows)
    name = chunk_name(whole.header.chunk, whole.rows.keys, whole.rows.replicates, content)
    store.chunks.stores[group[0].campaign].put(name, content)
