"""What models give to TRAK, their sums and their average; no torch here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError


@dataclass(frozen=True, slots=True)
class ModelScores:
    """What models give, summed: products phi_i G^-1 phi_j [n, n_test], own products [n], 1 - p on both sides; float64.

    models: how many there are in the sums. damping: the largest that was added to one of their Gram matrices.
    """

    products: FloatArray
    own: FloatArray
    train_doubt: FloatArray
    test_doubt: FloatArray
    models: int = 1
    damping: float = 0.0


def averaged(
    models: Iterable[ModelScores], *, output: Literal["margin", "loss"] = "margin"
) -> tuple[FloatArray, FloatArray]:
    """Attributions [n, n_test], and of each training instance on itself [n]: means taken apart, then multiplied."""
    total = summed(models)
    train_doubt, test_doubt = total.train_doubt / total.models, total.test_doubt / total.models
    values, own = total.products / total.models * train_doubt[:, None], total.own / total.models * train_doubt
    return (values, own) if output == "margin" else (values * test_doubt, own * train_doubt)


def summed(models: Iterable[ModelScores]) -> ModelScores:
    """The sums over some models, one at a time in memory; raises EstimatorError where there are none."""
    total: ModelScores | None = None
    for part in models:
        total = part if total is None else _sum(total, part)
    if total is None:
        raise EstimatorError("TRAK needs one model or more")
    return total


def _sum(one: ModelScores, other: ModelScores) -> ModelScores:
    return ModelScores(
        one.products + other.products,
        one.own + other.own,
        one.train_doubt + other.train_doubt,
        one.test_doubt + other.test_doubt,
        one.models + other.models,
        max(one.damping, other.damping),
    )
