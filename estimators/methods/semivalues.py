"""Semivalues: Shapley, Beta Shapley, Banzhaf and weighted Banzhaf values, by their default estimator."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from estimators.aggregators.adaptive_semivalue import AdaptiveSemivalue
from estimators.aggregators.exact_semivalues import ExactSemivalue
from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.size_weights import semivalue_objection
from estimators.designs.protocol import Design
from estimators.methods.laws import lists_all_subsets, refusal
from estimators.methods.semivalue_laws import LAWS
from estimators.methods.value_label import parsed_label
from estimators.methods.value_method import Asked, Objection, Option, Options, ValueMethod
from estimators.predicted_errors import banzhaf_error, exact_shapley_error

MOST_UNIT_ROWS = 256
"""Rows of a unit up to which the surrogate takes whole units; longer walks are `shapley_permutations`' to use."""


def _make(asked: Asked) -> Aggregator[Any, Any]:
    law = LAWS[parsed_label(asked.value)[0]](asked.design.n, asked.options)
    if lists_all_subsets(asked.design):
        return ExactSemivalue(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends, p=law.p)
    return AdaptiveSemivalue(
        value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends, law=law, guides=asked.guides
    )


def _objection(value: str, run: str) -> Objection:
    def objection(design: Design, options: Options, draws: int | None) -> str:
        if lists_all_subsets(design):
            return ""
        reason = semivalue_objection(LAWS[value](design.n, options).p, design, draws)
        if not reason and design.unit_rows > MOST_UNIT_ROWS:
            reason = f"its units have {design.unit_rows:,} rows, of which the estimator takes {MOST_UNIT_ROWS} at most"
        return refusal(value, design, reason, run) if reason else ""

    return objection


def _positive(number: float) -> bool:
    return 0.0 < number < 1e6


_BETA: Mapping[str, Option] = MappingProxyType(
    {
        "alpha": Option(4.0, "the weight of small subsets", "above 0", _positive),
        "beta": Option(1.0, "the weight of large subsets", "above 0", _positive),
    }
)
_SHARE: Mapping[str, Option] = MappingProxyType(
    {
        "probability": Option(
            0.5, "the probability of each other instance", "above 0 and below 1", lambda number: 0.0 < number < 1.0
        )
    }
)
_COST = (
    "as many retrains as asked; the surrogate takes up what it can, so errors fall faster than 1 / sqrt(K) where the "
    "loss is smooth in the subset"
)

ROWS = (
    ValueMethod(
        name="banzhaf",
        title="Banzhaf value",
        meaning=(
            "How much an instance lowers the test loss when it joins a subset that holds each other instance "
            "with probability 1/2; values do not sum to L(empty) - L(D)."
        ),
        formula="mean of L over subsets without i - mean of L over subsets with i, all subsets equally likely",
        paper="Banzhaf 1965; Wang and Jia, AISTATS 2023; Witter et al. 2025 (regression adjustment)",
        equation="Hammoudeh and Lowd 2024, equation 27",
        cost=_COST,
        designs=("bernoulli", "paired", "exhaustive"),
        maker=_make,
        guided=True,
        prediction=banzhaf_error,
        objection=_objection("banzhaf", "design paired or bernoulli with probability 0.5, or exhaustive"),
    ),
    ValueMethod(
        name="shapley",
        title="Shapley value",
        meaning=(
            "How much an instance lowers the test loss when it joins the instances before it in a random "
            "order; values sum to L(empty) - L(D)."
        ),
        formula="sum over S without i of |S|! (n-1-|S|)! / n! (L(S) - L(S and i))",
        paper="Shapley 1953; Ghorbani and Zou, ICML 2019; Covert and Lee, AISTATS 2021 (pairs)",
        equation="Hammoudeh and Lowd 2024, equations 17 and 18",
        cost=_COST,
        designs=("sizes", "paired", "permutation", "exhaustive"),
        maker=_make,
        guided=True,
        prediction=exact_shapley_error,
        objection=_objection("shapley", "design paired or sizes with serves: shapley, permutation, or exhaustive"),
    ),
    ValueMethod(
        name="beta_shapley",
        title="Beta Shapley value",
        meaning=(
            "The effect of joining a subset whose size is drawn by a beta-binomial law: a large alpha asks what an "
            "instance adds to few others, where signal is strongest, a large beta what it adds to nearly all."
        ),
        formula="sum over sizes c of p[c] times the mean of L(S) - L(S and i) over S of size c without i",
        paper="Kwon and Zou, AISTATS 2022",
        equation="Kwon and Zou 2022, theorem 2; p = BetaBinomial(n - 1; beta, alpha)",
        cost=_COST,
        designs=("sizes", "permutation", "exhaustive"),
        maker=_make,
        guided=True,
        prediction=exact_shapley_error,
        objection=_objection("beta_shapley", "design sizes with serves: beta_shapley, permutation, or exhaustive"),
        takes=_BETA,
        by_request=True,
    ),
    ValueMethod(
        name="weighted_banzhaf",
        title="Weighted Banzhaf value",
        meaning="The effect of joining a subset that holds each other instance with a given probability.",
        formula="mean of L over subsets without i - mean of L over subsets with i, each other with probability t",
        paper="Li and Yu, NeurIPS 2023",
        equation="Li and Yu 2023, equation 3",
        cost=_COST,
        designs=("bernoulli", "exhaustive"),
        maker=_make,
        guided=True,
        prediction=banzhaf_error,
        objection=_objection("weighted_banzhaf", "design bernoulli with that probability, or exhaustive"),
        takes=_SHARE,
        by_request=True,
    ),
)
