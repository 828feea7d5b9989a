"""Names of files in a chunk store, on whatever store: one plain part, nothing that a path could be made of."""

import re

from workers.errors import StoreError

QUARANTINE = "quarantine"
"""The folder of files that were set aside, inside a store."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


def checked_name(name: str) -> str:
    """The name itself; raises StoreError where it is not `[A-Za-z0-9._-]{1,200}` or begins with a sign."""
    if _NAME.fullmatch(name) is None:
        raise StoreError(
            f"{name[:80]!r} cannot be a file's name in a chunk store\n"
            "    letters, digits, dots, minus and underscore are allowed, at most 200, the first a letter or digit"
        )
    return name
