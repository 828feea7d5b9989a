"""What is asked in one text: a value, its numbers, a function of losses and an average over tests.

`beta_shapley(alpha=4, beta=1)`, `banzhaf of clip(cross_entropy, 0.5)`, `banzhaf over class`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from estimators.errors import EstimatorError

_LABEL = re.compile(r"\s*([^()]+?)\s*(?:\(([^()]*)\))?\s*")
_NUMBER = re.compile(r"\s*([a-z_]+)\s*=\s*([-+0-9.eE]+)\s*")


_OVER = re.compile(r"(.*?)(?:\s+over\s+([A-Za-z_]+))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AskedLabel:
    """A value with its numbers as `value`; of: a function of losses; over: an average over tests; None = not said."""

    value: str
    of: str | None = None
    over: str | None = None

    @property
    def text(self) -> str:
        """All of it in one text."""
        return self.value + (f" of {self.of}" if self.of else "") + (f" over {self.over}" if self.over else "")


def asked_label(label: str) -> AskedLabel:
    """The parts of a text such as `banzhaf of clip(cross_entropy, 0.5) over class`."""
    found = _OVER.fullmatch(label)
    text, over = (found.group(1), found.group(2)) if found is not None else (label, None)
    value, _, of = text.partition(" of ")
    return AskedLabel(value.strip(), of.strip() or None, over)


def value_label(name: str, options: Mapping[str, float]) -> str:
    """`beta_shapley(alpha=4, beta=1)`; the name alone where no option is given."""
    if not options:
        return name
    return f"{name}({', '.join(f'{option}={number:.12g}' for option, number in options.items())})"


def parsed_label(label: str) -> tuple[str, dict[str, float]]:
    """The value's name and the numbers given. Raises EstimatorError where the text is no such label."""
    found = _LABEL.fullmatch(asked_label(label).value)
    if found is None:
        raise EstimatorError(f"{label!r} is no value: write it as banzhaf or as beta_shapley(alpha=4, beta=1)")
    name, inside = found.group(1), (found.group(2) or "").strip()
    return name, dict(_number(part, label) for part in inside.split(",")) if inside else {}


def _number(part: str, label: str) -> tuple[str, float]:
    found = _NUMBER.fullmatch(part)
    try:
        if found is not None:
            return found.group(1), float(found.group(2))
    except ValueError:
        pass
    raise EstimatorError(f"{part.strip()!r} in {label!r} is no option: write name=number, as in alpha=4")
