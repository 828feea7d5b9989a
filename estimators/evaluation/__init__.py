"""Evaluation: do values find what is known to be wrong, and would they come out the same again."""

from estimators.evaluation.label_errors import LabelErrorDetection as LabelErrorDetection
from estimators.evaluation.label_errors import label_errors as label_errors
from estimators.evaluation.more_retrains import retrains_to_certain_sign as retrains_to_certain_sign
from estimators.evaluation.stability import rank_stability as rank_stability

__all__ = ["LabelErrorDetection", "label_errors", "rank_stability", "retrains_to_certain_sign"]
