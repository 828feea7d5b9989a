"""Sizes of subsets as a job says them: as counts, or as fractions of n."""

import math

from estimators.designs.parameters import Parameters
from estimators.errors import ImpossibleDesign


def sizes_said(name: str, n: int, parameters: Parameters, *, default: tuple[float, ...]) -> tuple[int, ...]:
    """The sizes that `size` or `fraction` give, in their order; raises ImpossibleDesign where both or none would do."""
    if parameters.size is not None and parameters.fraction is not None:
        raise ImpossibleDesign(
            f"{name} with both size {parameters.size} and fraction {parameters.fraction}: give one of them"
        )
    if parameters.size is not None:
        return parameters.size if isinstance(parameters.size, tuple) else (parameters.size,)
    said = default if parameters.fraction is None else parameters.fraction
    fractions = said if isinstance(said, tuple) else (said,)
    wrong = [fraction for fraction in fractions if not 0.0 < fraction < 1.0]
    if wrong:
        raise ImpossibleDesign(f"{name} with fraction {wrong[0]}: take one above 0 and below 1")
    return tuple(size_of(fraction, n) for fraction in fractions)


def size_of(fraction: float, n: int) -> int:
    """ceil(fraction n), where a product within 1e-9 of a whole number is that number (0.07 of 100 is 7)."""
    return math.ceil(round(fraction * n, 9))
