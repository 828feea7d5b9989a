"""Semivalues: Shapley and Banzhaf."""

from typing import Any

from estimators.aggregators.difference_of_means import DifferenceOfMeans
from estimators.aggregators.exact_semivalues import ExactSemivalue
from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.semivalues import banzhaf_sizes, shapley_sizes
from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from estimators.methods.laws import independent_share, lists_all_subsets, refusal
from estimators.methods.value_method import Asked, Options, ValueMethod
from estimators.predicted_errors import banzhaf_error, exact_shapley_error


def _banzhaf(asked: Asked) -> Aggregator[Any, Any]:
    if lists_all_subsets(asked.design):
        return _exact(asked, banzhaf_sizes(asked.design.n))
    return DifferenceOfMeans(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends)


def _shapley(asked: Asked) -> Aggregator[Any, Any]:
    return _exact(asked, shapley_sizes(asked.design.n))


def _exact(asked: Asked, p: FloatArray) -> Aggregator[Any, Any]:
    return ExactSemivalue(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends, p=p)


def _banzhaf_objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    share = independent_share(design)
    if lists_all_subsets(design) or (share is not None and abs(share - 0.5) < 1e-9):
        return ""
    run = "design bernoulli with probability 0.5, or exhaustive"
    return refusal("banzhaf", design, "it takes every subset as equally likely", run)


def _shapley_objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    if lists_all_subsets(design):
        return ""
    return refusal("shapley", design, "it takes all 2^n subsets", "design exhaustive")


ROWS = (
    ValueMethod(
        name="banzhaf",
        title="Banzhaf value",
        meaning=(
            "How much an instance lowers the test loss when it joins a subset that holds each other instance "
            "with probability 1/2; values do not sum to L(empty) - L(D)."
        ),
        formula="mean of L over subsets without i - mean of L over subsets with i, all subsets equally likely",
        paper="Banzhaf 1965; Wang and Jia, AISTATS 2023 (maximum sample reuse)",
        equation="Hammoudeh and Lowd 2024, equation 27",
        cost="as many retrains as asked (error about 2 s / sqrt(K)), or exactly from all 2^n subsets",
        designs=("bernoulli", "exhaustive"),
        maker=_banzhaf,
        prediction=banzhaf_error,
        objection=_banzhaf_objection,
    ),
    ValueMethod(
        name="shapley",
        title="Shapley value",
        meaning=(
            "How much an instance lowers the test loss when it joins the instances before it in a random "
            "order; values sum to L(empty) - L(D)."
        ),
        formula="sum over S without i of |S|! (n-1-|S|)! / n! (L(S) - L(S and i))",
        paper="Shapley 1953; Ghorbani and Zou, ICML 2019",
        equation="Hammoudeh and Lowd 2024, equations 17 and 18",
        cost="2^n retrains (n up to 20), values exact",
        designs=("exhaustive",),
        maker=_shapley,
        prediction=exact_shapley_error,
        objection=_shapley_objection,
    ),
)
