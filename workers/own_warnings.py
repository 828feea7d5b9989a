"""What this thread warns of, and no other: Python's own record takes in the warnings of every thread."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def own_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Record every warning of this thread in the list given; those of other threads are dropped meanwhile."""
    found: list[warnings.WarningMessage] = []
    thread = threading.get_ident()

    def record(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if threading.get_ident() == thread:
            found.append(warnings.WarningMessage(message, category, filename, lineno, file, line))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = record
        yield found
