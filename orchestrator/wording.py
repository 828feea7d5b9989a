"""How errors show values and names: short, on one line, without secrets, with the nearest name that exists."""

import difflib
import re
from collections.abc import Iterable

LONGEST_VALUE = 80

_USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s'\"]*:[^\s'\"]*@")
_SECRET_QUERY = re.compile(
    r"([?&][^=&\s]*(?:password|passwd|secret|token|signature|key)[^=&\s]*=)[^&\s]+", re.IGNORECASE
)
_SECRET_KEY = re.compile(r"password|passwd|secret|token|api_?key|credential", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with passwords of addresses replaced by `***`."""
    return _SECRET_QUERY.sub(r"\1***", _USER_AND_PASSWORD.sub("***:***@", text))


def holds_secret(text: str) -> bool:
    """Whether `masked` would hide something of the text."""
    return masked(text) != text


def names_secret(key: str) -> bool:
    """Whether a key's name says that its value is a secret."""
    return _SECRET_KEY.search(key) is not None


def shown(value: object) -> str:
    """A value for an error message: one line, at most 80 characters, passwords masked, control characters escaped."""
    text = value if isinstance(value, str) else repr(value)
    text = masked(text)
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:1000])
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def nearest(name: str, names: Iterable[str], *, count: int = 3, cutoff: float = 0.5) -> list[str]:
    """Up to `count` of the names that look like `name`, the likest first."""
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower()[:200], lowered, n=count, cutoff=cutoff)
    return [lowered[candidate] for candidate in close]


def did_you_mean(name: str, names: Iterable[str], *, cutoff: float = 0.5) -> str:
    """`did you mean `a` or `b`?`, or nothing."""
    close = nearest(name, names, cutoff=cutoff)
    return f"did you mean {' or '.join(f'`{candidate}`' for candidate in close)}?" if close else ""


def listed(names: Iterable[object], *, most: int = 12) -> str:
    """`a, b, c and 4 more`."""
    parts = [shown(name) for name in names]
    if len(parts) <= most:
        return ", ".join(parts)
    return f"{', '.join(parts[:most])} and {len(parts) - most:,} more"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 row`, `4,000 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def last_line(reason: str) -> str:
    """`exception: ValueError: why` of a failure's reason that carries a traceback; another reason as it is."""
    kind, mark, rest = reason.partition(": ")
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    return f"{kind}{mark}{lines[-1]}" if lines else reason


def size(count: float) -> str:
    """Bytes for people: `3.4 GB`."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError
