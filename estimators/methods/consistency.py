"""How regular an instance is: the C-score, Data-OOB, and memorization by folds."""

from typing import Any

import numpy as np

from estimators.aggregators.c_score import CScore
from estimators.aggregators.data_oob import DataOob
from estimators.aggregators.fold_memorization import FoldMemorization
from estimators.aggregators.protocol import Aggregator
from estimators.designs.kfold import KFold
from estimators.designs.protocol import Design
from estimators.errors import WrongDesign
from estimators.methods.laws import fixed_size, independent_share, refusal
from estimators.methods.value_method import Asked, Options, ValueMethod
from estimators.predicted_errors import held_out_error

MOST_SIZES = 64


def _c_score(asked: Asked) -> Aggregator[Any, Any]:
    return CScore(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends)


def _data_oob(asked: Asked) -> Aggregator[Any, Any]:
    return DataOob(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends)


def _c_score_objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    law = design.log_size_law()
    sizes = 0 if law is None else int(np.isfinite(law[1:-1]).sum())
    few = 0 < sizes <= MOST_SIZES and law is not None and not np.isfinite(law[[0, -1]]).any()
    if few or (law is None and design.name == "stratified"):
        return ""
    reason = f"it takes random subsets of a few sizes (at most {MOST_SIZES}), each drawn often"
    return refusal("c_score", design, reason, "design stratified, or uniform with several fractions")


def _data_oob_objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    if fixed_size(design) is not None or independent_share(design) is not None:
        return ""
    reason = "it takes random subsets of one size, or each instance with one probability"
    return refusal("data_oob", design, reason, "design uniform with fraction 0.632")


def _by_folds(asked: Asked) -> Aggregator[Any, Any]:
    if not isinstance(asked.design, KFold):
        raise WrongDesign(_by_folds_objection(asked.design, asked.options, None))
    return FoldMemorization(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends)


def _by_folds_objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    if isinstance(design, KFold):
        return ""
    return refusal("generative_downsampling", design, "it takes repeated partitions into folds", "design kfold")


ROWS = (
    ValueMethod(
        name="c_score",
        title="C-score",
        meaning=(
            "How well models of several training-set sizes do on an instance that they were not trained on: high for "
            "regular instances, low for atypical and mislabelled ones; a score of an instance's own loss."
        ),
        formula="- mean over sizes m of the mean of L(z_i) over subsets of size m without i",
        paper="Jiang, Zhang, Talwar and Mozer, ICML 2021",
        equation="Hammoudeh and Lowd 2024, equations 15 and 16 (with the instance held out)",
        cost="as many retrains as asked, shared by the sizes; losses on the training instances are kept",
        designs=("stratified", "uniform"),
        maker=_c_score,
        prediction=held_out_error,
        per_instance=True,
        needs_train_losses=True,
        objection=_c_score_objection,
    ),
    ValueMethod(
        name="data_oob",
        title="Data-OOB",
        meaning=(
            "How well models that never saw an instance predict its label: high where it agrees with the rest of the "
            "data, low for mislabelled and atypical instances."
        ),
        formula="- mean of L(z_i) over subsets without i",
        paper="Kwon and Zou, ICML 2023",
        equation="their equation 2, on subsets instead of bootstrap samples",
        cost="none beyond the retrains; losses on the training instances are kept",
        designs=("uniform", "bernoulli"),
        maker=_data_oob,
        prediction=held_out_error,
        per_instance=True,
        needs_train_losses=True,
        objection=_data_oob_objection,
    ),
    ValueMethod(
        name="generative_downsampling",
        title="Memorization by folds (generative Downsampling)",
        meaning=(
            "How much higher an instance's own loss is where its fold was left out of training, over repeated "
            "partitions: high for what a model knows by heart; for generative models with minus the log density."
        ),
        formula="mean over repeats of L(z_i) without i's fold - mean of L(z_i) over the repeat's other retrains",
        paper="van den Burg and Williams, NeurIPS 2021",
        equation="Hammoudeh and Lowd 2024, equation 14",
        cost="folds retrains a repeat (10 x 10 in the paper); losses on the training instances are kept",
        designs=("kfold",),
        maker=_by_folds,
        prediction=held_out_error,
        per_instance=True,
        needs_train_losses=True,
        objection=_by_folds_objection,
    ),
)
