"""What single models give to TRAK, and their average; no torch here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError


@dataclass(frozen=True, slots=True)
class ModelScores:
    """What one model gives: products phi_i G^-1 phi_j [n, n_test], own products [n], 1 - p on both sides; float64."""

    products: FloatArray
    own: FloatArray
    train_doubt: FloatArray
    test_doubt: FloatArray


def averaged(
    models: Iterable[ModelScores], *, output: Literal["margin", "loss"] = "margin"
) -> tuple[FloatArray, FloatArray]:
    """Attributions [n, n_test], and of each training instance on itself [n]: means taken apart, then multiplied."""
    total: ModelScores | None = None
    count = 0
    for part in models:
        count += 1
        total = part if total is None else _sum(total, part)
    if total is None:
        raise EstimatorError("TRAK needs one model or more")
    train_doubt, test_doubt = total.train_doubt / count, total.test_doubt / count
    values, own = total.products / count * train_doubt[:, None], total.own / count * train_doubt
    return (values, own) if output == "margin" else (values * test_doubt, own * train_doubt)


def _sum(one: ModelScores, other: ModelScores) -> ModelScores:
    return ModelScores(
        one.products + other.products,
        one.own + other.own,
        one.train_doubt + other.train_doubt,
        one.test_doubt + other.test_doubt,
    )
