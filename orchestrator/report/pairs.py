"""The section on pairs: the strongest influences of one training on one test instance, over the whole matrix."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.confidence import half_widths
from estimators.influence import Influence
from orchestrator.report.contents import ReportInput
from orchestrator.report.phrases import interval, value_in_words
from orchestrator.report.shown import Instances, Shown

PAIRS = 8
MOST_OF_ONE_INSTANCE = 2
_LOOKED_AT = 4096


@dataclass(frozen=True, slots=True)
class Pair:
    """A training and a test instance with the influence of the one on the other."""

    train: Shown
    test: Shown
    figure: str
    certain: bool
    side: str


@dataclass(frozen=True, slots=True)
class MethodPairs:
    """The strongest pairs by one method; certain: how many of all pairs have a certain sign."""

    method: str
    certain: int
    every: int
    pairs: tuple[Pair, ...]


def influential_pairs(contents: ReportInput, certain: list[BoolArray], instances: Instances) -> tuple[MethodPairs, ...]:
    """For each influence shown, its strongest pairs of certain sign, or the strongest where none is certain.

    No instance stands in more than two of them, so that one outlier does not fill the list. certain: [n, n_test] each.
    """
    return tuple(
        _of(influence, pairs, instances) for influence, pairs in zip(contents.shown_influences(), certain, strict=True)
    )


def _of(influence: Influence, certain: BoolArray, instances: Instances) -> MethodPairs:
    chosen = strongest(influence.values, certain)
    return MethodPairs(
        method=value_in_words(influence.value, influence.loss),
        certain=int(certain.sum()),
        every=certain.size,
        pairs=tuple(_pair(influence, bool(certain[i, j]), i, j, instances) for i, j in chosen),
    )


def strongest(values: FloatArray, certain: BoolArray, count: int = PAIRS) -> list[tuple[int, int]]:
    """Places (i, j) of the largest |values|, certain ones alone where there are any, strongest first."""
    strength = np.where(np.isfinite(values), np.abs(values), -1.0)
    if certain.any():
        strength = np.where(certain, strength, -1.0)
    flat = strength.ravel()
    top = np.argpartition(-flat, min(_LOOKED_AT, flat.size - 1))[:_LOOKED_AT]
    ordered: IntArray = top[np.argsort(-flat[top], kind="stable")]
    met: dict[tuple[str, int], int] = {}
    chosen: list[tuple[int, int]] = []
    for place in ordered[flat[ordered] > 0.0]:
        i, j = divmod(int(place), values.shape[1])
        keys = (("train", i), ("test", j))
        if max(met.get(key, 0) for key in keys) >= MOST_OF_ONE_INSTANCE:
            continue
        met |= {key: met.get(key, 0) + 1 for key in keys}
        chosen.append((i, j))
        if len(chosen) == count:
            break
    return chosen


def _pair(influence: Influence, certain: bool, i: int, j: int, instances: Instances) -> Pair:  # noqa: FBT001 - a fact
    value = float(influence.values[i, j])
    half = half_widths(influence.standard_errors[i : i + 1, j], influence.degrees_of_freedom[i : i + 1, j])
    return Pair(
        train=instances.train(int(influence.train_index[i])),
        test=instances.test(int(influence.test_index[j])),
        figure=interval(value, float(half[0])),
        certain=certain,
        side="pro" if value > 0 else "con",
    )
