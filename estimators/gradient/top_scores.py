"""The strongest training instances of each test instance, kept as scores come in, without the full matrix."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from estimators.arrays import FloatArray, IntArray
from estimators.errors import EstimatorError


@dataclass(frozen=True, slots=True)
class TopScores:
    """The strongest training instances of each test instance. indices, values: [k, n_test], strongest first."""

    indices: IntArray
    values: FloatArray


def strongest_of(parts: Iterable[FloatArray], count: int, *, opponents: bool = False) -> TopScores:
    """The strongest of scores that come in stretches [r, n_test] of the training set, in its order; ties in its order.

    What does not count on that side (opponents above 0) is listed all the same where there are too few.
    """
    sign, at = -1.0 if opponents else 1.0, 0
    best: TopScores | None = None
    for part in parts:
        here = TopScores(np.broadcast_to(np.arange(at, at + len(part))[:, None], part.shape), sign * part)
        best = merged_top([here] if best is None else [best, here], count)
        at += len(part)
    if best is None:
        raise EstimatorError("no training instances to choose from")
    return TopScores(best.indices, sign * best.values)


def merged_top(parts: Sequence[TopScores], count: int) -> TopScores:
    """The `count` largest of each column, largest first; equal scores in the order given."""
    scores, index = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "indices"))
    order = np.argsort(-scores, axis=0, kind="stable")[:count]
    return TopScores(np.take_along_axis(index, order, axis=0), np.take_along_axis(scores, order, axis=0))
