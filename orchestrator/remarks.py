"""The driver's warnings on the screen: the first few of a kind, then how many came."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST_OF_A_KIND = 3
MOST_KINDS = 50
_NUMBER = re.compile(r"\d[\d.,]*")
_OTHERS = "warnings of other kinds"


class Remarks(logging.Handler):
    """Says warnings as remarks, so that they do not tear the line that moves.

    Of a kind (texts whose first clause differs in numbers alone) three are said; `finish` says how many more came.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """One remark a record, while its kind is new."""
        text = record.getMessage()
        kind = _NUMBER.sub("N", text.partition(": ")[0])[:200]
        if kind not in self._seen and len(self._seen) >= MOST_KINDS:
            kind = _OTHERS
        self._seen[kind] += 1
        if self._seen[kind] <= MOST_OF_A_KIND:
            self._say(text)
        if self._seen[kind] == MOST_OF_A_KIND:
            self._say("more of this kind are counted; `apportion logs JOB` shows them all")

    def finish(self) -> None:
        """How many of each kind were not said."""
        for kind, count in self._seen.items():
            if count > MOST_OF_A_KIND:
                self._say(f"{count - MOST_OF_A_KIND:,} more like it: {kind}")
        self._seen.clear()


@contextmanager
def remarks_by(say: Callable[[str], None]) -> Iterator[None]:
    """Inside, the driver's warnings are said by `say`, and by nothing else; at the end, how many were not."""
    log, handler = logging.getLogger("orchestrator"), Remarks(say)
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        handler.finish()
        log.removeHandler(handler)
        log.propagate = before
