"""Regressions of the loss on membership: AME and linear datamodels."""

from typing import Any

import numpy as np

from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.size_weights import row_weights_of, semivalue_objection
from estimators.aggregators.sparse_regression import SparseRegression
from estimators.aggregators.sparse_sums import FOLDS, MemberFeatures
from estimators.arrays import FloatArray
from estimators.designs.bernoulli_grid import BernoulliGrid
from estimators.designs.protocol import Design
from estimators.errors import WrongDesign
from estimators.methods.laws import binomial_sizes, fixed_size, independent_share, refusal
from estimators.methods.value_method import Asked, Options, ValueMethod
from estimators.predicted_errors import contrast_error, inclusion_share
from estimators.surrogates.lasso import PENALTIES, STEPS

PROBABILITIES = (0.2, 0.4, 0.6, 0.8)


def ame_sizes(design: Design) -> FloatArray:
    """Weights p [n]: the mean over the design's probabilities (else 0.2, 0.4, 0.6, 0.8) of Binomial(n - 1, t)."""
    grid = design.probabilities if isinstance(design, BernoulliGrid) else PROBABILITIES
    mean: FloatArray = np.mean([binomial_sizes(design.n - 1, t) for t in grid], axis=0)
    return mean


def _ame(asked: Asked) -> Aggregator[Any, Any]:
    law = asked.design.log_size_law()
    if law is None:
        raise WrongDesign(f"ame cannot be computed from {asked.design.label}: it has no law of sizes")
    weights = row_weights_of(ame_sizes(asked.design), law)
    features = MemberFeatures(inclusion_share(asked.design), weights.inside, weights.outside)
    return _regression(asked, features, centred=False)


def _datamodel(asked: Asked) -> Aggregator[Any, Any]:
    n, size = asked.design.n, fixed_size(asked.design)
    share = inclusion_share(asked.design)
    scale = 1.0 / (share * (1.0 - share)) * ((n - 1) / n if size is not None else 1.0)
    features = MemberFeatures(share, np.full(n + 1, scale * (1.0 - share)), np.full(n + 1, scale * share))
    return _regression(asked, features, centred=size is not None)


def _regression(asked: Asked, features: MemberFeatures, *, centred: bool) -> Aggregator[Any, Any]:
    return SparseRegression(
        value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends, features=features, centred=centred
    )


def _ame_objection(design: Design, options: Options, draws: int | None) -> str:
    del options
    if isinstance(design, BernoulliGrid):  # its own law: weights are at most 1 / t and 1 / (1 - t)
        return ""
    reason = semivalue_objection(ame_sizes(design), design, draws)
    return refusal("ame", design, reason, "design bernoulli with probability [0.2, 0.4, 0.6, 0.8]") if reason else ""


def _datamodel_objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    if fixed_size(design) is not None or independent_share(design) is not None:
        return ""
    reason = "it takes random subsets of one size, or each instance with one probability"
    return refusal("datamodel", design, reason, "design uniform or bernoulli")


ROWS = (
    ValueMethod(
        name="ame",
        title="Average marginal effect (AME)",
        meaning=(
            "How much an instance lowers the test loss when it joins a subset that holds each other instance with "
            "probability t, on average over the t drawn; by sparse regression, for few instances that matter."
        ),
        formula="mean over t of the mean of L(S) - L(S and i), S holding each other instance with probability t",
        paper="Lin, Zhang, Lecuyer, Li, Panda and Sen, ICML 2022",
        equation="their equation 2, with a debiased, cross-fitted LASSO",
        cost="as many retrains as asked; about k log n where k instances matter",
        designs=("bernoulli",),
        maker=_ame,
        prediction=contrast_error,
        objection=_ame_objection,
        steps=FOLDS * PENALTIES * STEPS,
        linear=False,
    ),
    ValueMethod(
        name="datamodel",
        title="Linear datamodel",
        meaning=(
            "The coefficient of an instance in the linear regression of the test loss on who was in the subset; sums "
            "of coefficients predict the loss of a subset. On subsets of one size it is the Downsampling influence, up "
            "to (n-1)/n, with less noise where few instances matter."
        ),
        formula="argmin over theta of E (v(S) - b - sum over i in S of theta_i)^2, v = -L",
        paper="Ilyas, Park, Engstrom, Leclerc and Madry, ICML 2022",
        equation="their equation 4, with a debiased, cross-fitted LASSO",
        cost="as many retrains as asked",
        designs=("uniform", "bernoulli"),
        maker=_datamodel,
        prediction=contrast_error,
        objection=_datamodel_objection,
        steps=FOLDS * PENALTIES * STEPS,
        linear=False,
    ),
)
