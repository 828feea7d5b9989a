"""Numbers and texts as the page shows them. What is not known is called unknown, never 0."""

import math
import unicodedata
from collections.abc import Iterable

from orchestrator.report.names import in_words

UNKNOWN = "unknown"
MINUS = "\N{MINUS SIGN}"
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_NOT_PRINTED = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TIMES = ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s"))


def clean(text: str) -> str:
    """The text without characters that print nothing, break lines or turn the direction of writing."""
    return "".join(_clean_character(character) for character in text)


def _clean_character(character: str) -> str:
    if character in _BIDI_CONTROLS:
        return ""
    if unicodedata.category(character) in _NOT_PRINTED:
        return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"
    return character


def shorten(text: object, limit: int = 60) -> str:
    """The text, cut with an ellipsis where it is longer than `limit` characters."""
    whole = str(text)
    return whole if len(whole) <= limit else whole[: limit - 1].rstrip() + "…"


def number(value: float, *, digits: int = 3) -> str:
    """A number with so many significant digits: "0.0123", "12,300", "1.2·10^-7"."""
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0.0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if places > 8:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return _signed(f"{mantissa}·10^{int(exponent)}")
    return _signed(f"{round(value, places):,.{max(places, 0)}f}")


def fixed(value: float, places: int) -> str:
    """A number with so many decimal places, for columns."""
    return _signed(f"{value:,.{places}f}") if math.isfinite(value) else UNKNOWN


def interval(value: float, half_width: float) -> str:
    """Value and 95 % half width to the same places: "0.0123 ± 0.0045"."""
    if not math.isfinite(value):
        return UNKNOWN
    if not math.isfinite(half_width):
        return f"{number(value)} ± {UNKNOWN}"
    if half_width <= 0.0:
        return f"{number(value)} ± 0"
    places = 1 - math.floor(math.log10(half_width))
    if places > 8:
        return f"{number(value, digits=2)} ± {number(half_width, digits=2)}"
    places = max(places, 0)
    return _signed(f"{value:,.{places}f}") + f" ± {half_width:,.{places}f}"


def count(value: float) -> str:
    """A whole number with thousands apart: "12,300"."""
    return f"{int(value):,}" if math.isfinite(value) else UNKNOWN


def percent(share: float) -> str:
    """A share as a percentage with two significant digits or one decimal: "12.3 %", "0.004 %"."""
    if not math.isfinite(share):
        return UNKNOWN
    hundredths = 100.0 * share
    if hundredths == 0.0 or abs(hundredths) >= 0.95:
        return f"{hundredths:.1f}".removesuffix(".0") + " %"
    return number(hundredths, digits=2) + " %"


def duration(seconds: float) -> str:
    """Seconds in the two largest units: "8.4 s", "3 min 12 s", "1 h 5 min", "2 d 3 h"."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    large, small, unit, part = next(row for row in _TIMES if seconds >= row[0] - row[1] / 2)
    whole, rest = divmod(round(seconds / small), large // small)
    return f"{whole} {unit} {rest} {part}"


def listed(parts: Iterable[str]) -> str:
    """Parts in a sentence: "a, b and c"."""
    *head, last = parts
    return f"{', '.join(head)} and {last}" if head else last


def sentence(text: str) -> str:
    """The text as a sentence or a heading begins, every other letter as it was."""
    return text[:1].upper() + text[1:]


def loss_in_words(loss: str) -> str:
    """A loss's name as words; a function of losses, or an average over tests, as it was asked for."""
    return in_words(loss) if loss.isidentifier() else loss


def value_in_words(value: str, loss: str) -> str:
    """A value's name as words, with the function of losses or the average that it was asked on."""
    return in_words(value) if loss.isidentifier() or not loss else f"{in_words(value)} of {loss}"


def _signed(text: str) -> str:
    return text.replace("-", MINUS)
