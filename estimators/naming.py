"""Names that people type: found, or refused with the nearest ones."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from estimators.errors import UnknownName

Entry = TypeVar("Entry")


def entry_named(name: str, entries: Mapping[str, Entry], *, kind: str) -> Entry:
    """The entry of that name; raises UnknownName with the nearest names and all known ones."""
    if name in entries:
        return entries[name]
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    nearest = difflib.get_close_matches(wanted, entries, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
    raise UnknownName(f"no {kind} is called {name!r}{hint} (known: {', '.join(entries)})")
