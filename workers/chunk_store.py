"""The seam of chunk stores: whole files under fixed names, written once.

A file's name holds its own hash, so that putting it twice is harmless and two writers never disagree about
one name. A store is made from an address by `workers.stores.open_chunk_store(address)`.
"""

from typing import BinaryIO, Protocol, runtime_checkable


class ChunkStore(Protocol):
    """Where the chunks of one campaign stand.

    Law: a file is there whole or not at all; `put` of what is there already is harmless; nothing is overwritten.
    Errors: StoreError for anything that reaching or writing the store brings.
    """

    @property
    def address(self) -> str:
        """The address that reopens this store on any machine that reaches it; holds no secret."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write one file whole."""
        ...

    def get(self, name: str) -> bytes:
        """Read one file; raises StoreError where it is absent."""
        ...

    def names(self) -> list[str]:
        """Names of the files there, sorted; temporaries are not listed."""
        ...


@runtime_checkable
class PartialReads(Protocol):
    """A chunk store that reads a part of a file for less than the whole."""

    def open(self, name: str) -> BinaryIO:
        """The file for reading, seekable, to be closed by the caller; raises StoreError where it is absent."""
        ...


@runtime_checkable
class Tidying(Protocol):
    """A chunk store from which files can be taken out; never done by workers."""

    def set_aside(self, name: str) -> str:
        """Move a file into the store's quarantine, where no reader looks; returns its place there."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file for good; harmless where it is absent."""
        ...
