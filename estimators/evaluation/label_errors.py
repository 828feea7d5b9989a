"""How well a ranking of training instances by suspicion finds the label errors that are known."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from estimators.arrays import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class LabelErrorDetection:
    """The most suspicious `reviewed` of n instances against the `errors` known.

    found: expected number of errors among the reviewed, ties at the cut broken at random (a whole number without
    ties). auroc: area under the ROC curve, with its standard error over instances; NaN where there are no errors, or
    nothing else.
    """

    reviewed: int
    errors: int
    found: float
    auroc: float
    auroc_standard_error: float

    @property
    def precision(self) -> float:
        """Share of the reviewed instances that are errors."""
        return self.found / self.reviewed

    @property
    def recall(self) -> float:
        """Share of the errors that are among the reviewed; NaN where there are none."""
        return self.found / self.errors if self.errors else math.nan


def label_errors(suspicion: FloatArray, known: BoolArray, *, share: float) -> LabelErrorDetection:
    """Detection when the `share` of instances with the highest suspicion is reviewed (at least one).

    suspicion: [n], high = suspicious, NaN = unknown, which ranks last. known: [n] bool, the label errors. Raises
    ValueError where shapes differ or share is not above 0 and at most 1.
    """
    if suspicion.ndim != 1 or suspicion.shape != known.shape or not suspicion.size:
        raise ValueError(f"suspicion {suspicion.shape} and known errors {known.shape} must both be [n], n > 0")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share {share} is not above 0 and at most 1")
    ordered = np.where(np.isnan(suspicion), -np.inf, suspicion)
    reviewed = max(1, math.floor(share * len(ordered) + 0.5))
    area, error = auroc(ordered, known)
    return LabelErrorDetection(
        reviewed=reviewed,
        errors=int(known.sum()),
        found=_expected_found(ordered, known, reviewed),
        auroc=area,
        auroc_standard_error=error,
    )


def auroc(suspicion: FloatArray, known: BoolArray) -> tuple[float, float]:
    """The chance that an error is more suspicious than another instance, ties counting half, and its standard error.

    Mann and Whitney 1947; error by DeLong, DeLong and Clarke-Pearson, Biometrics 1988, from midranks.
    """
    errors, others = suspicion[known], suspicion[~known]
    if not errors.size or not others.size:
        return math.nan, math.nan
    midranks = rankdata(suspicion)
    beaten_others = (midranks[known] - rankdata(errors)) / others.size
    beaten_by_errors = 1.0 - (midranks[~known] - rankdata(others)) / errors.size
    return float(beaten_others.mean()), math.sqrt(
        _variance_of_mean(beaten_others) + _variance_of_mean(beaten_by_errors)
    )


def _variance_of_mean(parts: FloatArray) -> float:
    return float(np.var(parts, ddof=1)) / parts.size if parts.size > 1 else math.nan


def _expected_found(suspicion: FloatArray, known: BoolArray, reviewed: int) -> float:
    cut = np.partition(suspicion, len(suspicion) - reviewed)[len(suspicion) - reviewed]
    above, level = suspicion > cut, suspicion == cut
    places = reviewed - int(above.sum())
    return float(known[above].sum() + known[level].sum() * places / level.sum())
