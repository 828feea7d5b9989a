"""The files of gradient values as a store is verified and tidied: blocks, recorded runs, models, lists of blocks.

They stand beside the files of the job's run. Each holds its own hash in its name, so that damage shows; a list of an
entry's blocks shows what is gone. What no entry of the job refers to may be removed: nothing else reads it.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from orchestrator.gradients.identity import gradient_identity, gradient_store, run_identity
from orchestrator.gradients.listing import listed_files, listed_identity
from orchestrator.results import StoredJob
from workers.chunk_name import content_hash
from workers.chunk_store import ChunkStore
from workers.errors import ChunkError
from workers.gradient_file import blocks_stored

_NAME: Final = re.compile(
    r"(?:gradient|self|stationarity|trajectory|whole|blocks)-([0-9a-f]{16})-(?:\d+-\d+-\d+-)?([0-9a-f]{12})"
    r"\.(?:safetensors|json)",
    re.ASCII,
)
DAMAGED = "damaged: its content has another SHA-256 than its name says"
GONE = "gone: the list of blocks {} names it"


def bad_gradient_files(stored: StoredJob) -> Iterator[tuple[str, str]]:
    """Read every file; for each its name, and what is wrong with it: "" where nothing is. Then files that are gone."""
    store = gradient_store(stored.tracker, stored.parent)
    names = store.names()
    lists: dict[str, list[tuple[str, list[str]]]] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        content = store.get(name)
        whole = content_hash(content) == match[2]
        yield name, "" if whole else DAMAGED
        if whole and listed_identity(name) is not None:
            gone = sorted(set(listed_files(name, content)) - set(names))
            lists.setdefault(match[1], []).append((name, gone))
    for found in lists.values():
        if all(gone for _, gone in found):  # where another list of the entry is whole, this one is of files replaced
            yield from ((each, GONE.format(name)) for name, gone in found for each in gone)


def lists_naming(store: ChunkStore, file: str) -> list[str]:
    """Lists of blocks that name a file, which go with it: without them nothing waits for it."""
    found = []
    for name in store.names():
        if listed_identity(name) is not None:
            with contextlib.suppress(ChunkError):  # a damaged list is a bad file itself
                found += [name] if file in listed_files(name, store.get(name)) else []
    return found


def unreferred_gradient_files(stored: StoredJob) -> list[str]:
    """Names of files that no entry of the job's `gradients` refers to, or that others of the same task replace."""
    names = gradient_store(stored.tracker, stored.parent).names()
    identities = _identities(stored)
    kept: set[str] = set()
    for identity in identities:
        kept.update(blocks_stored(names, identity).values())
    found = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        block = name.startswith(("gradient-", "self-", "stationarity-"))
        if match[1] not in identities or (block and name not in kept):
            found.append(name)
    return found


def _identities(stored: StoredJob) -> set[str]:
    """Of all entries' values, and of the runs and models that they are computed from."""
    prepared = stored.prepared
    found = set()
    for spec in prepared.job.gradients:
        found.add(gradient_identity(spec, prepared))
        if spec.recorded:
            found.add(run_identity(spec.recorded, prepared.fingerprints))
        elif spec.campaign is None:
            found |= {run_identity(f"model {k}", prepared.fingerprints) for k in range(spec.models_needed)}
    return found
