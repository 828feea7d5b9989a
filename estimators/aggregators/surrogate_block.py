"""One block of rows: a surrogate's semivalue and the correction by what it leaves; see `adaptive_semivalue`.

What the columns of losses share is made once: the surrogate's scales, from a few of them, and its covariance. All else
is done 128 columns at a time, so that a column's bits do not depend on the columns beside its 128.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg.blas import dgemm, ssyrk

from estimators.aggregators.block_sums import BlockSums
from estimators.aggregators.columns import column_blocks, with_mean
from estimators.aggregators.kept_rows import KeptRows
from estimators.aggregators.size_weights import RowWeights
from estimators.aggregators.surrogate_items import Items, items_of, weighs_ends
from estimators.aggregators.threads import one_blas_thread
from estimators.aggregators.unit_variance import Sides
from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from estimators.retrains import EndRows
from estimators.surrogates.gaussian_process import Process, Scales, conditioned, fitted_scales
from estimators.surrogates.kernels import Component, SemivalueLaw, covariance, folded, linear, of_size, products

ORDERS = (0.8, 2.5)
"""Mean orders of interaction that are tried."""

ROWS_TO_FIT = 160
END_NOISE = 1e-6

CHOSEN = 5
"""What is chosen on the rows that are averaged: four scales and the order. Of pairs, less by a scale and steadier, none
is counted: their errors hold without (decision 92)."""

MOST_UNLIKE = 0.025
"""Up to this difference between units their mean, which enters a variance by its square over their number, is taken
from the product behind the value. A variance is off by twice this share of its mean square at the very worst, were the
differences aligned with what is left; they are not: seen are 1e-5, and 3e-3 where one instance outweighs all others."""

MOST_PREDICTED = 4.0
"""A leave-one-out residual counts fully where its variance is at most this many times the typical one."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """The surrogate of a block: its components, their scales, and where it has been seen: members [n, m] float32."""

    parts: Sequence[Component]
    scales: Scales
    members: AnyArray
    process: Process


def add_block(
    sums: BlockSums,
    block: KeptRows,
    law: SemivalueLaw,
    weights: RowWeights,
    ends: EndRows,
    pivot: FloatArray,
    guides: Sequence[int],
) -> None:
    """Add values and variances from the units of a block, at least 2; its losses are less the pivot [c].

    guides: the columns by which the surrogate's scales are decided.
    """
    items = items_of(block, law, weights, ends, pivot)
    units = block.unit_count
    with one_blas_thread():
        centre = np.zeros(len(pivot)) if items.folded else items.responses[items.units >= 0].mean(axis=0)
        guiding = np.asfortranarray(items.responses[:, list(guides)] - centre[list(guides)])
        surrogate = _surrogate(items, law, guiding)
        correction = _Correction.of(items, surrogate, ends)
        for columns in column_blocks(len(pivot)):
            y = np.asfortranarray(items.responses[:, columns] - centre[columns])
            correction.add(sums, y, columns, units)
        expected, doubt = correction.expected(guiding)
    sums.expected += units**2 * expected
    sums.doubt += units**4 * doubt
    sums.variances += units**2 * _end_variance(law, ends)
    sums.units += units


def _surrogate(items: Items, law: SemivalueLaw, guides: FloatArray) -> Surrogate:
    """The surrogate of the items; what it takes in memory meanwhile, a few [m, m], is gone with the return."""
    members, sizes = items.members.T.astype(np.float32), items.members.sum(axis=1)
    met = np.unique(sizes)
    choices = [[linear(law), of_size(law, met), products(law, order)] for order in ORDERS]
    choices = [[folded(part) for part in parts] for parts in choices] if items.folded else choices
    parts, scales = _fitted(items, choices, guides)
    found = covariance(parts, scales.components, _distances(members, sizes), sizes)
    return Surrogate(parts, scales, members, conditioned(found, scales.noise * _noise(items.units), items.units))


def _fitted(
    items: Items, choices: Sequence[Sequence[Component]], guides: FloatArray
) -> tuple[Sequence[Component], Scales]:
    """The components whose fit to some rows of the guides [m, g] is best, and their scales."""
    rows = np.unique(np.linspace(0, len(items.units) - 1, min(len(items.units), ROWS_TO_FIT)).round().astype(np.int64))
    sample = guides[rows]
    spread = sample.std(axis=0)
    sample = sample[:, spread > 0.0] / spread[spread > 0.0]
    if not sample.shape[1]:
        return choices[0], Scales((1.0, 1.0, 1.0), 1.0, 0.0)
    members = items.members[rows]
    sizes, noise = members.sum(axis=1), _noise(items.units[rows])
    distances = np.triu(_distances(members.T.astype(np.float32), sizes))
    distances += np.triu(distances, 1).T
    found = [
        (parts, fitted_scales([part.among(distances, sizes) for part in parts], noise, sample)) for parts in choices
    ]
    return min(found, key=lambda each: each[1].loss)


def _noise(units: IntArray) -> FloatArray:
    """The noise of each item up to a scale: the same for all that were drawn, next to none for end rows."""
    return np.where(units < 0, END_NOISE, 1.0)


def _distances(members: AnyArray, sizes: IntArray) -> IntArray:
    """In how many instances each two of m subsets differ, [m, m], in the upper half and on the diagonal; else anything.

    members [n, m] in float32 and Fortran order, in which counts below 2^24 are exact.
    """
    common = ssyrk(-2.0, members, trans=1)
    size = sizes.astype(np.float32)
    common += size[:, None]
    common += size[None, :]
    found: IntArray = common.astype(np.int64)
    return found


@dataclass(frozen=True, slots=True)
class _Correction:
    """How coefficients become values and variances; of m items and n instances.

    members [n, m], in Fortran order. own, trust, share, spread [m, 1]. step, jump: what the surrogate's semivalue and
    the correction add where an instance is in, over where it is not. outside, taken: the same where it is not, [m].
    alike: what a unit adds to the correction, over what it adds to the value, where that is nearly the same for all.
    optimism: what squared residuals are short of, since the surrogate's scales were chosen on the same items: Akaike's
    final prediction error (1969), (k + 5) / (k - 5) for k rows.
    """

    process: Process
    members: FloatArray
    trust: FloatArray
    share: FloatArray
    spread: FloatArray
    step: FloatArray
    jump: FloatArray
    outside: FloatArray
    taken: FloatArray
    sides: Sides
    alike: float | None
    optimism: float

    @classmethod
    def of(cls, items: Items, surrogate: Surrogate, ends: EndRows) -> "_Correction":
        """Of a block's items and surrogate."""
        sizes, drawn = items.members.sum(axis=1), items.units >= 0
        weighed = list(zip(surrogate.scales.components, surrogate.parts, strict=True))
        inside = np.sum([scale * part.inside[sizes] for scale, part in weighed], axis=0)
        outside = np.sum([scale * part.outside[sizes] for scale, part in weighed], axis=0)
        spread = np.sqrt(np.maximum(1.0 - items.share, 0.0)) if ends.deterministic else np.ones(len(sizes))
        found = cls(
            process=surrogate.process,
            members=items.members.T.astype(np.float64),
            trust=_trusted(surrogate.process, drawn)[:, None],
            share=items.share[:, None],
            spread=np.where(drawn, spread, 0.0)[:, None],
            step=(inside - outside)[:, None],
            jump=(items.inside + items.outside)[:, None],
            outside=outside,
            taken=items.outside,
            sides=Sides.of(surrogate.members, items.inside, items.outside, np.where(drawn, items.units, -1)),
            alike=None,
            optimism=1.0 if items.folded else _optimism(int(drawn.sum())),
        )
        return replace(found, alike=found.ratio()) if not surrogate.process.together else found

    def ratio(self) -> float | None:
        """`alike`, where units of one item each differ in it by 2.5 % at most."""
        left_out = self.trust * self.process.predicted[:, None]  # over the coefficients
        seen = self.share * self.process.own[:, None] + (1.0 - self.share) * left_out
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = self.jump * self.spread * left_out / (self.step + self.jump * seen)
        middle = float(np.median(ratios))
        return middle if bool(np.all(np.abs(ratios - middle) <= MOST_UNLIKE * abs(middle))) else None

    def add(self, sums: BlockSums, y: FloatArray, columns: slice, units: int) -> None:
        """Add the values and variances of some columns of responses y [m, c], in Fortran order."""
        coefficients = self.process.coefficients(y)
        left_out = self.process.left_out(coefficients)
        left_out *= self.trust
        seen = self.share * (self.process.own[:, None] * coefficients) + (1.0 - self.share) * left_out
        sums.shift[columns] += units * (self.outside @ coefficients - self.taken @ seen)
        # the surrogate's value and the correction in one product: where the instance is in, less where it is not
        seen *= self.jump
        coefficients *= self.step
        seen += coefficients
        inside = dgemm(float(units), self.members, seen)
        sums.values[:, columns] += inside
        left_out *= self.spread
        if self.alike is not None:
            inside *= self.alike / units
        variance = self.sides.variance(left_out, inside=None if self.alike is None else inside)
        variance *= units**2 * self.optimism
        sums.variances[:, columns] += variance

    def expected(self, guides: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The variance that the surrogate expects [n], and half the variance of what would be measured of it.

        By the kurtosis of the guides' residuals [m, g] in units of what is expected of each: 3 of normal ones.
        """
        factor = self.optimism * (self.trust * self.spread)[:, 0] ** 2
        expected, squares = self.sides.expected(factor * self.process.predicted)
        drawn = self.sides.place >= 0
        found = self.process.left_out(self.process.coefficients(guides))[drawn] ** 2
        found /= self.process.predicted[drawn, None]
        means = found.mean(axis=0)
        varied = means > 0.0
        kurtosis = np.mean((found[:, varied] ** 2).mean(axis=0) / means[varied] ** 2) if varied.any() else 3.0
        return expected, squares * max(3.0, float(kurtosis)) / 2.0


def _trusted(process: Process, drawn: BoolArray) -> FloatArray:
    """1 for most items, less for those that are nearly all that is known of an effect.

    Their leave-one-out residuals are the effect itself, not what the surrogate leaves, and would be counted twice.
    """
    typical = float(np.median(process.predicted[drawn]))
    trust: FloatArray = np.minimum(1.0, MOST_PREDICTED * typical / process.predicted)
    return trust


def _optimism(rows: int) -> float:
    """How much larger squared residuals of new rows would be than those of rows on which five numbers were chosen."""
    return (rows + CHOSEN) / max(rows - CHOSEN, 1)


def _end_variance(law: SemivalueLaw, ends: EndRows) -> FloatArray:
    """The learner's noise in v(D), R times retrained, and v(empty), as far as the value weights them: [c]."""
    columns = ends.full.shape[1] + 1
    if ends.deterministic or not weighs_ends(law):
        return np.zeros(columns)
    if len(ends.full) == 1:
        return np.full(columns, np.nan)
    noise: FloatArray = with_mean(ends.full).var(axis=0, ddof=1)
    noise *= law.p[-1] ** 2 / len(ends.full) + law.p[0] ** 2
    return noise
