"""Chunk stores by their address."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from workers.chunk_store import ChunkStore
from workers.errors import StoreError

if TYPE_CHECKING:
    from workers.stores.http_calls import Persist

_KNOWN = "a folder's path, file:///path, or mlflow-artifacts+http://host:port/path"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/", re.ASCII)


def open_chunk_store(address: str, *, persist: "Persist | None" = None) -> ChunkStore:
    """The store at an address: a folder's path, `file:///path`, or `mlflow-artifacts+http(s)://host:port/path`.

    persist: how a server is asked that is away. Nothing is touched or asked yet. Raises StoreError where the address
    is none of these.
    """
    found = _SCHEME.match(address)
    scheme = found[1].lower() if found else ""
    if scheme in {"mlflow-artifacts+http", "mlflow-artifacts+https"}:
        from workers.stores.artifact_proxy import ArtifactProxyStore  # noqa: PLC0415 - HTTP only where it is asked for

        return ArtifactProxyStore(address, persist=persist)
    from workers.stores.folder import FolderStore  # noqa: PLC0415 - as above

    if scheme == "file":
        return FolderStore(_folder(address))
    if scheme or not address or "\0" in address:
        raise StoreError(f"no chunk store is known at {scheme or address!r}: an address is {_KNOWN}")
    return FolderStore(Path(address))


def _folder(address: str) -> Path:
    parts = urlsplit(address)
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not path.startswith("/"):
        raise StoreError(f"{address!r} names no folder on this machine: write file:///path")
    return Path(path)
