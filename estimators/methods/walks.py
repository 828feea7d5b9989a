"""Values from walks of single training steps: G-Shapley."""

import math
from collections.abc import Mapping
from typing import Any

from estimators.aggregators.g_shapley import GShapley
from estimators.aggregators.protocol import Aggregator
from estimators.designs.protocol import Design
from estimators.designs.walk import Walk
from estimators.methods.laws import refusal
from estimators.methods.value_method import Asked, Options, ValueMethod


def _make(asked: Asked) -> Aggregator[Any, Any]:
    n_test, deterministic = asked.ends.full.shape[1], asked.ends.deterministic
    return GShapley(asked.value, asked.loss, asked.design, n_test, deterministic=deterministic)


def _objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    if isinstance(design, Walk):
        return ""
    return refusal("g_shapley", design, "it takes losses after every single training step", "design walk")


def walk_error(spread: float, *, n: int, retrains: int, design: Design, options: Mapping[str, float]) -> float:
    """Mean of marginals over walks: spread / sqrt(walks), with the spread of an instance's marginals over walks."""
    del n, design, options
    return spread / math.sqrt(retrains)


ROWS = (
    ValueMethod(
        name="g_shapley",
        title="G-Shapley value",
        meaning=(
            "How much one training step on this instance lowers the test loss, over random orders of single steps; "
            "a learner's value in one pass, not the Shapley value of retraining."
        ),
        formula="mean over walks of L(before the step on i) - L(after the step on i)",
        paper="Ghorbani and Zou, ICML 2019 (algorithm 2)",
        equation="Hammoudeh and Lowd 2024, section 4.3.3",
        cost="n steps and n + 1 evaluations a walk; error about s / sqrt(walks)",
        designs=("walk",),
        maker=_make,
        prediction=walk_error,
        objection=_objection,
        from_walks=True,
    ),
)
