"""Evaluation: do values find what is known to be wrong, predict what was held out, and would they come out the same."""

from estimators.evaluation.datamodeling import NoiseCeiling as NoiseCeiling
from estimators.evaluation.datamodeling import linear_datamodeling_score as linear_datamodeling_score
from estimators.evaluation.label_errors import LabelErrorDetection as LabelErrorDetection
from estimators.evaluation.label_errors import label_errors as label_errors
from estimators.evaluation.more_retrains import retrains_to_certain_sign as retrains_to_certain_sign
from estimators.evaluation.rank_agreement import RankAgreement as RankAgreement
from estimators.evaluation.rank_agreement import rank_agreement as rank_agreement
from estimators.evaluation.stability import rank_stability as rank_stability

__all__ = [
    "LabelErrorDetection",
    "NoiseCeiling",
    "RankAgreement",
    "label_errors",
    "linear_datamodeling_score",
    "rank_agreement",
    "rank_stability",
    "retrains_to_certain_sign",
]
