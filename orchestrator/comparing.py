"""Functions of the same stored losses compared by how far their values stand out of their errors.

Signal to noise of n data values with standard errors e: sqrt(max(0, var(values) / mean(e^2) - 1)). The variance of
estimates is that of the true values plus mean(e^2), so it estimates their spread in units of a standard error; it needs
no knowledge of which instances are bad.
"""

import math
from dataclasses import dataclass

import numpy as np

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.influence import Influence
from orchestrator.campaign import Campaign

OF_CROSS_ENTROPY = (
    "1 - probability",
    "clip(cross_entropy, 2)",
    "clip(cross_entropy, 0.5)",
    "log(cross_entropy + 0.001)",
    "rank(cross_entropy)",
)
OF_SQUARED_ERROR = ("sqrt(squared_error)", "log(squared_error + 0.001)", "rank(squared_error)")


@dataclass(frozen=True, slots=True)
class Compared:
    """How a value stands out on one function of the losses. certain: share of instances with a certain sign."""

    of: str
    signal_to_noise: float
    certain: float
    trouble: str = ""


def compare_transforms(campaign: Campaign, value: str, more: tuple[str, ...] = ()) -> list[Compared]:
    """The losses kept, usual functions of them, and `more`, best first, for data values over the whole test set.

    What is not finite on these losses comes last, with the reason. Raises EstimatorError where the campaign does not
    permit the value.
    """
    reason = campaign.why_not(value)
    if reason:
        raise EstimatorError(reason)
    usual = [*campaign.losses]
    usual += OF_CROSS_ENTROPY if "cross_entropy" in campaign.losses else ()
    usual += OF_SQUARED_ERROR if "squared_error" in campaign.losses else ()
    found = [_compared(campaign, value, of) for of in dict.fromkeys((*usual, *more))]
    return sorted(found, key=lambda each: (bool(each.trouble), -each.signal_to_noise))


def _compared(campaign: Campaign, value: str, of: str) -> Compared:
    try:
        result = campaign.values(value, of=of, over=None if _is_own(campaign, value) else "test")
    except EstimatorError as error:
        return Compared(of, 0.0, 0.0, trouble=str(error))
    data = result.data_values() if isinstance(result, Influence) else result
    return Compared(of, signal_to_noise(data.values, data.standard_errors), float(data.certain().mean()))


def _is_own(campaign: Campaign, value: str) -> bool:
    """Whether the value is of each instance's own loss."""
    try:
        campaign.view(value, over="test")
    except EstimatorError:
        return True
    return False


def signal_to_noise(values: FloatArray, errors: FloatArray) -> float:
    """The spread of the true values in standard errors, from estimates [n] and their errors [n]; NaN where unknown."""
    known = np.isfinite(values) & np.isfinite(errors)
    noise = float(np.mean(errors[known] ** 2)) if known.any() else float("nan")
    if known.sum() < 2 or not noise > 0.0:
        return float("nan")
    return math.sqrt(max(0.0, float(np.var(values[known], ddof=1)) / noise - 1.0))
