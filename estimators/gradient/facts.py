"""What solvers say of themselves, put together over blocks: the worst of each."""

import math
from collections.abc import Mapping


def merged_facts(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Of every fact the larger one; of those called smallest, the smaller one; NaN where either is. Order-free."""
    found = dict(one)
    for name, value in other.items():
        known = found.get(name, value)
        worse = min if name.startswith("smallest") else max
        found[name] = math.nan if math.isnan(known) or math.isnan(value) else worse(known, value)
    return found
