"""Values with their numbers in one text: `beta_shapley(alpha=4, beta=1)`."""

import re
from collections.abc import Mapping

from estimators.errors import EstimatorError

_LABEL = re.compile(r"\s*([^()]+?)\s*(?:\(([^()]*)\))?\s*")
_NUMBER = re.compile(r"\s*([a-z_]+)\s*=\s*([-+0-9.eE]+)\s*")


def value_label(name: str, options: Mapping[str, float]) -> str:
    """`beta_shapley(alpha=4, beta=1)`; the name alone where no option is given."""
    if not options:
        return name
    return f"{name}({', '.join(f'{option}={number:.12g}' for option, number in options.items())})"


def parsed_label(label: str) -> tuple[str, dict[str, float]]:
    """The value's name and the numbers given. Raises EstimatorError where the text is no such label."""
    found = _LABEL.fullmatch(label)
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
