"""Other estimators of the Banzhaf value, by name: what papers propose, on the same rows as the default."""

from types import MappingProxyType
from typing import Any

from estimators.aggregators.cube_regression import CubeRegression
from estimators.aggregators.difference_of_means import DifferenceOfMeans
from estimators.aggregators.protocol import Aggregator
from estimators.designs.paired import Paired
from estimators.designs.protocol import Design
from estimators.methods.laws import independent_share, refusal
from estimators.methods.value_method import Asked, Option, Options, ValueMethod
from estimators.predicted_errors import contrast_error


def _sample_reuse(asked: Asked) -> Aggregator[Any, Any]:
    return DifferenceOfMeans(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends)


def _independent(design: Design, options: Options, draws: int | None) -> str:
    del draws
    share, wanted = independent_share(design), options["probability"]
    if share is not None and design.unit_rows == 1 and abs(share - wanted) < 1e-9:
        return ""
    reason = f"it takes each instance with probability {wanted:g}, rows independent"
    return refusal("banzhaf_sample_reuse", design, reason, f"design bernoulli with probability {wanted:g}")


def _least_squares(asked: Asked) -> Aggregator[Any, Any]:
    paired = asked.design.unit_rows == 2
    return CubeRegression(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends, paired=paired)


def _half(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    share = independent_share(design)
    pairs = isinstance(design, Paired) or design.unit_rows == 1
    if share is not None and abs(share - 0.5) < 1e-9 and pairs:
        return ""
    run = "design paired or bernoulli with probability 0.5"
    return refusal("banzhaf_least_squares", design, "it takes every subset as equally likely, alone or in pairs", run)


ROWS = (
    ValueMethod(
        name="banzhaf_least_squares",
        title="Banzhaf value by least squares",
        meaning="The Banzhaf value as the slope of the linear function nearest to the loss; of pairs: Kernel Banzhaf.",
        formula="-2 beta_i, with L(S) fitted by c + sum of beta_j (1 in S, -1 not in S)",
        paper="Hammer and Holzman 1992; Liu et al. 2024 (Kernel Banzhaf)",
        equation="Liu et al. 2024, theorem 3.1",
        cost="more than n + 10 retrains, or pairs; error about 2 s / sqrt(K), s what a linear function leaves",
        designs=("bernoulli", "paired"),
        maker=_least_squares,
        prediction=contrast_error,
        objection=_half,
        by_request=True,
    ),
    ValueMethod(
        name="banzhaf_sample_reuse",
        title="Banzhaf value by maximum sample reuse",
        meaning="The Banzhaf value as a plain difference of two means, each row used for every instance.",
        formula="mean of L over the rows without i - mean of L over the rows with i",
        paper="Wang and Jia, AISTATS 2023",
        equation="Wang and Jia 2023, equation 7",
        cost="as many retrains as asked; error about 2 s / sqrt(K), free of n",
        designs=("bernoulli",),
        maker=_sample_reuse,
        prediction=contrast_error,
        objection=_independent,
        by_request=True,
        takes=MappingProxyType(
            {
                "probability": Option(
                    0.5, "the probability of each instance", "above 0 and below 1", lambda number: 0.0 < number < 1.0
                )
            }
        ),
    ),
)
