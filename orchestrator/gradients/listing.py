"""What the values of one entry are made of, written once they are whole: its blocks, and the models or run behind them.

A list makes it possible to say which file of a store is gone. Named by the entry's identity and its own hash.
"""

import json
import re
from typing import Final

from workers.chunk_name import content_hash
from workers.chunk_store import ChunkStore
from workers.errors import ChunkError

_NAME: Final = re.compile(r"blocks-([0-9a-f]{16})-([0-9a-f]{12})\.json", re.ASCII)


def put_listing(store: ChunkStore, identity: str, files: list[str]) -> None:
    """Write the list of an entry whose values are whole; harmless where it is there."""
    content = json.dumps(sorted(files), indent=0).encode()
    store.put(f"blocks-{identity}-{content_hash(content)}.json", content)


def listed_identity(name: str) -> str | None:
    """The identity of the entry that a file lists; None for other files."""
    match = _NAME.fullmatch(name)
    return None if match is None else match[1]


def listed_files(name: str, content: bytes) -> list[str]:
    """The files that a list names; raises ChunkError where it is damaged."""
    match = _NAME.fullmatch(name)
    if match is None or content_hash(content) != match[2]:
        raise ChunkError(f"{name}: damaged, or no list of blocks")
    found: list[str] = json.loads(content)
    return found
