"""Scores of suspicion, and how well each finds the label errors that are known."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.evaluation.label_errors import LabelErrorDetection, label_errors
from estimators.influence import InstanceValues
from orchestrator.report.contents import ReportInput

# High memorization, a high held-out loss and a high influence on one's own loss are suspicious; so is a low influence
# on the mean test loss.
SELF_SCORES = ("memorization", "held_out_loss")


@dataclass(frozen=True, slots=True)
class Score:
    """A ranking of training instances by suspicion. self_score: about the instance's own loss, not the test loss.

    suspicion: [n], high = suspicious, NaN = unknown. order: players, most suspicious first, unknown ones last.
    """

    values: InstanceValues
    campaign: str
    self_score: bool
    suspicion: FloatArray
    order: IntArray

    @property
    def signed(self) -> bool:
        """Zero is a meaningful value, so that a sign can be certain: not so for a mean loss or for gradients."""
        return self.values.value != "held_out_loss" and self.values.retrains > 0


def scores_of(contents: ReportInput) -> list[Score]:
    """Every score of the job: self-scores first, then values on the mean test loss."""
    n = contents.dataset.n
    selves = [named for named in contents.named_instance_values() if named[0].value in SELF_SCORES]
    means = [(influence.data_values(), campaign) for influence, campaign in contents.named_influences()]
    selves += [(found.self_influence, "") for found in contents.gradients if found.self_influence is not None]
    means += [(found.mean, "") for found in contents.gradients if found.mean is not None]
    return [_score(values, n, campaign, self_score=True) for values, campaign in selves] + [
        _score(values, n, campaign, self_score=False) for values, campaign in means
    ]


def _score(values: InstanceValues, n: int, campaign: str, *, self_score: bool) -> Score:
    suspicion = np.full(n, np.nan)
    suspicion[values.train_index] = values.values if self_score else -values.values
    return Score(values, campaign, self_score, suspicion, np.argsort(-suspicion, kind="stable"))


def detection(score: Score, known: BoolArray, share: float) -> LabelErrorDetection:
    """The score against known errors, when the `share` most suspicious instances are reviewed."""
    return label_errors(score.suspicion, known, share=share)


def errors_met(score: Score, known: BoolArray) -> FloatArray:
    """Expected number [n] of known errors among the first 1..n instances reviewed, ties in random order."""
    ranked = np.nan_to_num(score.suspicion, nan=-np.inf)[score.order]
    _, level, sizes = np.unique(ranked, return_inverse=True, return_counts=True)
    chance = np.bincount(level, weights=known[score.order]) / sizes
    met: FloatArray = np.cumsum(chance[level])
    return met
