"""A file behind HTTP, read in blocks that are asked for when they are needed."""

import io
import os
import re
from collections.abc import Callable
from typing import Any

import requests

from workers.errors import StoreError

BLOCK = 2**16
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)


class RangedFile(io.RawIOBase):
    """Reads by ranges of 64 KiB, the last one first (where Parquet keeps its footer).

    ask: the answer to a range (`bytes=0-99`). A server that ignores ranges answers with the whole file, which is
    then kept. Raises StoreError where it answers with another part than asked.
    """

    def __init__(self, url: str, ask: Callable[[str], requests.Response]) -> None:
        super().__init__()
        self._url, self._ask = url, ask
        self._pieces: dict[int, bytes] = {}
        self._place = 0
        self._size = 0
        self._fetch(f"bytes=-{BLOCK}")

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and return the new place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        """The place."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Read on from the place, at most one piece; 0 at the end."""
        if self._place >= self._size or not len(buffer):
            return 0
        found = self._kept() or self._asked(len(buffer))
        read = found[: len(buffer)]
        buffer[: len(read)] = read
        self._place += len(read)
        return len(read)

    def _kept(self) -> bytes:
        for start, piece in self._pieces.items():
            if start <= self._place < start + len(piece):
                return piece[self._place - start :]
        return b""

    def _asked(self, length: int) -> bytes:
        last = min(self._size, self._place + max(length, BLOCK)) - 1
        self._fetch(f"bytes={self._place}-{last}")
        found = self._kept()
        if not found:
            raise StoreError(f"GET {self._url}: the server sent another part of the file than was asked for")
        return found

    def _fetch(self, part: str) -> None:
        with self._ask(part) as answer:
            content, span = answer.content, _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status_code != requests.codes.partial_content:
            whole = b"" if answer.status_code == requests.codes.requested_range_not_satisfiable else content
            self._pieces, self._size = {0: whole}, len(whole)
            return
        start, last, size = (int(text) for text in span.groups()) if span else (0, -2, 0)
        if last - start + 1 != len(content) or (self._pieces and size != self._size):
            raise StoreError(f"GET {self._url}: the server's answer to a range is not whole")
        self._pieces[start], self._size = content, size
