"""Support vector machines with squared hinge loss side by side, by Newton's method with an exact line search.

The objective is quadratic between kinks, so that the method ends at its minimum after a few steps (Keerthi & DeCoste,
"A modified finite Newton method for fast solution of large scale linear SVMs", JMLR 2005). Every subset has its own
copy of its rows, padded to a length that its size decides: a model has the same bits whatever the others are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Final

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from workers.errors import LearnerError
from workers.learners.fixed_products import padded
from workers.learners.line_search import steps_to_minimum
from workers.learners.linear_data import Gathered

ELEMENTS_TOGETHER: Final = 2**20
TOLERANCE: Final = 1e-13
ROUNDED: Final = 1e-6
FLICKERING: Final = 1e-11
MOST_STALLS: Final = 30
MOST_STEPS: Final = 300
KEPT_SHARE: Final = 0.75
LARGEST: Final = 1e60
JITTER: Final = 1e-13
ROUNDING_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Machines:
    """A subsets of B one-vs-rest problems each: ||w||^2 / 2 + sum_i s_i max(0, 1 - y_i w x_i)^2 / 2.

    features: [A, m, D]. signs: [A, B, m] 1 or -1. shares: [A, 1, m] s_i = 2 c w_i, 0 on padding.
    """

    features: FloatArray
    signs: FloatArray
    shares: FloatArray

    def values(self, parameters: FloatArray) -> FloatArray:
        """Signed scores [A, B, m] at parameters [A, B, D]."""
        found: FloatArray = np.matmul(parameters, self.features.transpose(0, 2, 1)) * self.signs
        return found

    def gradients(self, parameters: FloatArray, values: FloatArray) -> FloatArray:
        """[A, B, D] at parameters whose signed scores are given."""
        slopes = -self.shares * self.signs * np.maximum(1.0 - values, 0.0)
        found: FloatArray = parameters + np.matmul(slopes, self.features)
        return found

    def directions(self, gradients: FloatArray, values: FloatArray, live: BoolArray) -> FloatArray:
        """Newton's directions [A, B, D] of problems that are live [A, B], 0 of others.

        Systems are scaled to a diagonal of 1, so that columns of unlike sizes lose no figures.
        """
        found = np.zeros_like(gradients)
        weighted = self.features * np.sqrt(self.shares[:, 0, :, None])
        for problem in range(gradients.shape[1]):
            chosen = np.flatnonzero(live[:, problem])
            hessians = np.empty((len(chosen), *2 * self.features.shape[2:]))
            for place, subset in enumerate(chosen):  # rows within the margin are few near the minimum, and their own
                rows = weighted[subset][values[subset, problem] < 1.0]
                np.matmul(rows.T, rows, out=hessians[place])
            diagonals = np.einsum("add->ad", hessians)
            diagonals += 1.0
            scales = 1.0 / np.sqrt(diagonals)
            hessians *= scales[:, :, None] * scales[:, None, :]
            np.einsum("add->ad", hessians)[...] = 1.0 + JITTER  # columns that are equal to rounding
            wanted = (scales * gradients[chosen, problem])[:, :, None]
            found[chosen, problem] = -scales * np.linalg.solve(hessians, wanted)[:, :, 0]
        return found

    def sizes(self) -> FloatArray:
        """What a component of a gradient is measured by, [A, 1, D]: the sum of its losses' terms at 0.

        And a part of the largest component's, since columns share their rounding.
        """
        found: FloatArray = np.matmul(self.shares, np.abs(self.features))
        found += ROUNDING_SHARE * found.max(axis=2, keepdims=True)
        return found

    def select(self, subsets: BoolArray) -> "Machines":
        """The subsets marked [A], alone."""
        return Machines(self.features[subsets], self.signs[subsets], self.shares[subsets])


def fitted(subsets: Sequence[Gathered], *, classes: int, c: float) -> FloatArray:
    """Parameters [K, B, D] at the minima of K subsets, B = 1 for two classes, else C; 0 for an empty subset.

    Raises:
        LearnerError: features that are not finite, or so ill conditioned that the minimum is not found.
    """
    size = subsets[0].features.shape[1] if subsets else 0
    parameters = np.zeros((len(subsets), 1 if classes == 2 else classes, size))
    lengths = [padded(len(own.labels), _grain(len(own.labels))) for own in subsets]
    places = sorted((k for k, own in enumerate(subsets) if len(own.labels)), key=lengths.__getitem__)
    for length, alike in groupby(places, key=lengths.__getitem__):
        group = list(alike)
        most = max(1, ELEMENTS_TOGETHER // (length * padded(size)))
        for start in range(0, len(group), most):
            chosen = group[start : start + most]
            parameters[chosen] = _together([subsets[k] for k in chosen], length, classes, c)
    return parameters


def _grain(count: int) -> int:
    """Lengths go in steps of a quarter at most, so that few subsets stand alone."""
    return int(max(16, 1 << max(0, count.bit_length() - 3)))


def _together(subsets: Sequence[Gathered], length: int, classes: int, c: float) -> FloatArray:
    """Parameters [A, B, D] of subsets padded to one length; where columns outnumber rows, in the rows' own space."""
    size = subsets[0].features.shape[1]
    features = np.zeros((len(subsets), length, padded(size)))
    shares = np.zeros((len(subsets), 1, length))
    signs = np.ones((len(subsets), 1 if classes == 2 else classes, length))
    positive = np.arange(classes)[1:, None] if classes == 2 else np.arange(classes)[:, None]
    for k, own in enumerate(subsets):
        m = len(own.labels)
        features[k, :m, :size], shares[k, 0, :m] = own.features, 2.0 * c * own.weights
        signs[k, :, :m] = np.where(own.labels == positive, 1.0, -1.0)
        if not (np.abs(own.features) < LARGEST).all():
            raise LearnerError(
                f"linear_svm: a subset of {m} members has features that are not finite or above {LARGEST:.0e}: mend the"
                " data, or scale them"
            )
    if length >= size:
        return _minimised(Machines(features, signs, shares), [len(own.labels) for own in subsets])[:, :, :size]
    basis, rows = np.linalg.qr(features.transpose(0, 2, 1))
    across = np.ascontiguousarray(rows.transpose(0, 2, 1))
    inside = _minimised(Machines(across, signs, shares), [len(own.labels) for own in subsets])
    found: FloatArray = np.matmul(inside, basis.transpose(0, 2, 1))[:, :, :size]
    return found


def _minimised(machines: Machines, counts: list[int]) -> FloatArray:
    """Parameters [A, B, D] at the minima. counts: of members, for words."""
    (subsets, problems, _), size = machines.signs.shape, machines.features.shape[2]
    found, left = np.zeros((subsets, problems, size)), np.arange(subsets)
    at, arrivals = found.copy(), Arrivals.of(machines)
    for _ in range(MOST_STEPS):
        values = machines.values(at)
        gradients = machines.gradients(at, values)
        live = arrivals.live(at, gradients, values)
        going: BoolArray = np.any(live, axis=1)
        found[left[~going]] = at[~going]
        if not going.any():
            return found
        if going.sum() <= KEPT_SHARE * len(going):
            machines, left, at, arrivals = machines.select(going), left[going], at[going], arrivals.select(going)
            values, gradients, live = values[going], gradients[going], live[going]
        towards = machines.directions(gradients, values, live)
        lengths = steps_to_minimum(at, towards, values, machines.values(towards), machines.shares)
        arrivals.lengths = lengths
        at = at + lengths[:, :, None] * towards
    raise LearnerError(
        f"linear_svm: on a subset of {counts[left[0]]} members the minimum is not found in {MOST_STEPS} steps, the"
        f" gradient is still {arrivals.least.max():.0e} of its terms: scale the features, or lower c"
    )


@dataclass(slots=True)
class Arrivals:
    """Which problems are under way.

    One has arrived where its gradient is nothing but rounding: below `TOLERANCE` of its terms; or below `ROUNDED` of
    them and not halved by a whole step of Newton's that moved no row across a kink; or below `FLICKERING` of them and
    not halved in `MOST_STALLS` steps, where rows on a kink cross it by rounding.

    sizes: [A, 1, D], see `Machines.sizes`; the penalty adds its own, the largest coefficient. inside: [A, B, m] rows
    within the margin before the last step, of `lengths` [A, B]. least: [A, B] the smallest gradients so far, and
    stalls: steps since. arrived: [A, B].
    """

    sizes: FloatArray
    inside: BoolArray
    lengths: FloatArray
    least: FloatArray
    stalls: IntArray
    arrived: BoolArray

    @classmethod
    def of(cls, machines: Machines) -> "Arrivals":
        """At the start."""
        shape = machines.signs.shape
        return cls(
            machines.sizes(),
            np.zeros(shape, dtype=np.bool_),
            np.zeros(shape[:2]),
            np.full(shape[:2], np.inf),
            np.zeros(shape[:2], dtype=np.int64),
            np.zeros(shape[:2], dtype=np.bool_),
        )

    def live(self, at: FloatArray, gradients: FloatArray, values: FloatArray) -> BoolArray:
        """Those under way [A, B], by gradients [A, B, D] and signed scores [A, B, m] at `at` [A, B, D]."""
        sizes = self.sizes + np.abs(at).max(axis=2, keepdims=True)
        largest = np.abs(gradients / np.where(sizes > 0.0, sizes, 1.0)).max(axis=2)
        inside = values < 1.0
        settled = (inside == self.inside).all(axis=2) & (self.lengths == 1.0)
        halved = largest <= 0.5 * self.least
        self.stalls = np.where(halved, 0, self.stalls + 1)
        self.least = np.where(halved, largest, self.least)
        self.inside = inside
        still = settled & ~halved & (largest <= ROUNDED)
        flickering = (self.stalls >= MOST_STALLS) & (largest <= FLICKERING)
        rounding = (largest <= TOLERANCE) | still | flickering
        self.arrived = self.arrived | rounding
        return ~self.arrived

    def select(self, subsets: BoolArray) -> "Arrivals":
        """The subsets marked [A], alone."""
        kept = (getattr(self, part.name)[subsets] for part in fields(self))
        return Arrivals(*kept)
