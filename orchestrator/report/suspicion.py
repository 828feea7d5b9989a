"""How well a score finds the label errors that are known: the figures behind the report's first section."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.influence import InstanceValues
from orchestrator.report.contents import ReportInput

# High memorization and a high held-out loss are suspicious; so is a low influence on the mean test loss.
SELF_SCORES = ("memorization", "held_out_loss")


@dataclass(frozen=True, slots=True)
class Score:
    """A ranking of training instances by suspicion. self_score: about the instance's own loss, not the test loss.

    suspicion: [n], high = suspicious, NaN = unknown. order: players, most suspicious first, unknown ones last.
    """

    values: InstanceValues
    self_score: bool
    suspicion: FloatArray
    order: IntArray

    @property
    def signed(self) -> bool:
        """Zero is a meaningful value, so that a sign can be certain: not so for a mean loss."""
        return self.values.value != "held_out_loss"


@dataclass(frozen=True, slots=True)
class Detection:
    """A score against known label errors.

    found: errors among the `reviewed` most suspicious instances. auroc_half_width: of its 95 % interval.
    """

    reviewed: int
    found: int
    errors: int
    auroc: float
    auroc_half_width: float

    @property
    def precision(self) -> float:
        """Share of the reviewed instances that are errors."""
        return self.found / self.reviewed if self.reviewed else float("nan")

    @property
    def recall(self) -> float:
        """Share of the errors that are found."""
        return self.found / self.errors if self.errors else float("nan")


def scores_of(contents: ReportInput) -> list[Score]:
    """Every score of the job: self-scores first, then values on the mean test loss."""
    selves = [values for values in contents.instance_values if values.value in SELF_SCORES]
    means = [influence.data_values() for influence in contents.influences]
    n = contents.dataset.n
    return [_score(values, n, self_score=True) for values in selves] + [
        _score(values, n, self_score=False) for values in means
    ]


def _score(values: InstanceValues, n: int, *, self_score: bool) -> Score:
    suspicion = np.full(n, np.nan)
    suspicion[values.train_index] = values.values if self_score else -values.values
    return Score(values, self_score, suspicion, np.argsort(-suspicion, kind="stable"))


def detection(score: Score, known: BoolArray, share: float) -> Detection:
    """The score against known errors, when the `share` most suspicious instances are reviewed."""
    reviewed = max(1, round(share * len(known)))
    area, error = auroc(score.suspicion, known)
    return Detection(
        reviewed=reviewed,
        found=int(np.count_nonzero(known[score.order[:reviewed]])),
        errors=int(np.count_nonzero(known)),
        auroc=area,
        auroc_half_width=float(stats.norm.ppf(0.975)) * error,
    )


def auroc(suspicion: FloatArray, known: BoolArray) -> tuple[float, float]:
    """Area under the ROC curve and its standard error over instances; unknown suspicion ranks last.

    The chance that an error is more suspicious than another instance, ties counting half (Mann-Whitney). The error is
    DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 1988), from ranks (Sun and Xu, IEEE SPL 2014). NaN where
    there are no errors, or nothing else.
    """
    ordered = np.nan_to_num(suspicion, nan=-np.inf)
    errors, others = ordered[known], ordered[~known]
    if not errors.size or not others.size:
        return float("nan"), float("nan")
    ranks = stats.rankdata(ordered)
    above = (ranks[known] - stats.rankdata(errors)) / others.size
    below = 1.0 - (ranks[~known] - stats.rankdata(others)) / errors.size
    variance = sum(float(np.var(part, ddof=1)) / part.size for part in (above, below) if part.size > 1)
    return float(above.mean()), variance**0.5
