"""One block of rows: a surrogate's semivalue and the correction by what it leaves; see `adaptive_semivalue`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimators.aggregators.columns import column_blocks, with_mean
from estimators.aggregators.kept_rows import KeptRows, distinct
from estimators.aggregators.size_weights import RowWeights, shared_chance
from estimators.aggregators.threads import one_blas_thread
from estimators.aggregators.unit_variance import Sides
from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.retrains import EndRows
from estimators.surrogates.gaussian_process import Fit, Scales, fit, fitted_scales
from estimators.surrogates.kernels import Component, SemivalueLaw, folded, linear, of_size, products

ORDERS = (0.8, 2.5)
"""Mean orders of interaction that are tried."""

ROWS_TO_FIT = 160
COLUMNS_TO_FIT = 4
END_NOISE = 1e-6
END_WEIGHT = 1e-6
"""End rows enter the surrogate where the semivalue gives them more than this."""

MOST_PREDICTED = 4.0
"""A leave-one-out residual counts fully where its variance is at most this many times the typical one."""


@dataclass(frozen=True, slots=True)
class BlockEstimate:
    """values and variances [n, c]."""

    values: FloatArray
    variances: FloatArray


@dataclass(frozen=True, slots=True)
class Items:
    """What the surrogate is fitted to: rows, or pairs folded into one. m items, u units.

    members [m, n]; responses [m, c]; units [m], -1 for end rows; inside, outside [m]: the value's weight of the
    response where the instance is in and (with the other sign) where it is not; share [m]: the probability f of the
    item to be among the draws.
    """

    members: BoolArray
    responses: FloatArray
    units: IntArray
    inside: FloatArray
    outside: FloatArray
    share: FloatArray


def estimated_block(
    block: KeptRows, law: SemivalueLaw, weights: RowWeights, ends: EndRows, pivot: FloatArray
) -> BlockEstimate:
    """Values and variances from the units of a block, at least 2; its losses are less the pivot [c]."""
    fold = law.symmetric and _is_paired(block)
    items = _with_ends(_items(block, weights, fold=fold), law, ends, pivot, fold=fold)
    sizes = np.unique(items.members.sum(axis=1))
    choices = [[linear(law), of_size(law, sizes), products(law, order)] for order in ORDERS]
    choices = [[folded(part) for part in parts] for parts in choices] if fold else choices
    with one_blas_thread():
        found = _corrected(items, _conditioned(items, choices, fold=fold), ends)
    return BlockEstimate(found.values, found.variances + _end_variance(law, ends))


def _is_paired(block: KeptRows) -> bool:
    if len(block.units) != 2 * block.unit_count or (block.units != np.arange(len(block.units)) // 2).any():
        return False
    return bool((block.members[::2] ^ block.members[1::2]).all())


def _items(block: KeptRows, weights: RowWeights, *, fold: bool) -> Items:
    """The block's different subsets, or pairs: of each pair the member without the last instance, so that it is one."""
    units, per_unit = block.unit_count, 1
    if fold:
        first = ~block.members[::2, -1]
        sign = np.where(first, 0.5, -0.5)[:, None]
        members = np.where(first[:, None], block.members[::2], block.members[1::2])
        block = KeptRows(members, sign * (block.losses[::2] - block.losses[1::2]), np.arange(units))
        per_unit = 2
    else:
        own = np.unique(np.column_stack([block.units, np.packbits(block.members, axis=1)]), axis=0)
        per_unit = max(1, round(len(own) / units))
    rows = distinct(block)
    sizes = rows.members.sum(axis=1)
    share, ratio = shared_chance(np.minimum(per_unit * weights.chance, 1.0), units)
    factor = (2.0 if fold else 1.0) * ratio / per_unit  # the value's weight times 1 / f is (omega / q) factor
    over_share = factor[sizes]
    return Items(
        members=rows.members,
        responses=-rows.losses,
        units=rows.units,
        inside=weights.inside[sizes] * over_share,
        outside=weights.outside[sizes] * over_share,
        share=share[sizes],
    )


def _with_ends(items: Items, law: SemivalueLaw, ends: EndRows, pivot: FloatArray, *, fold: bool) -> Items:
    """The items with v(D) and v(empty), or with half their difference, where the semivalue gives them weight."""
    if max(law.p[0], law.p[-1]) < END_WEIGHT:
        return items
    n = law.n
    full, empty = (pivot - with_mean(losses[None, :]) for losses in (ends.pivot(), ends.empty))
    sizes = items.members.sum(axis=1)
    keep = (sizes > 0) & (sizes < n)  # end rows that were drawn stand for nothing else
    responses = (full - empty) / 2.0 if fold else np.concatenate([full, empty])
    members = np.array([[True] * n] if fold else [[True] * n, [False] * n])
    inside, outside = np.array([2.0 * law.p[-1], 0.0]), np.array([0.0, law.p[0]])
    if not fold:
        inside[0] /= 2.0
    ones = np.ones(len(members))
    return Items(
        members=np.concatenate([items.members[keep], members]),
        responses=np.concatenate([items.responses[keep], responses]),
        units=np.concatenate([items.units[keep], -np.ones(len(members), dtype=np.int64)]),
        inside=np.concatenate([items.inside[keep], inside[: len(members)]]),
        outside=np.concatenate([items.outside[keep], outside[: len(members)]]),
        share=np.concatenate([items.share[keep], ones]),
    )


@dataclass(frozen=True, slots=True)
class Conditioned:
    """The surrogate of a block: its components, their scales, and its fit to the items."""

    parts: Sequence[Component]
    scales: Scales
    fit: Fit


def _conditioned(items: Items, choices: Sequence[Sequence[Component]], *, fold: bool) -> Conditioned:
    """The surrogate fitted to the items; what it takes in memory meanwhile, a few [m, m], is gone with the return."""
    columns = items.responses.shape[1]
    centre = np.zeros((1, columns)) if fold else items.responses[items.units >= 0].mean(axis=0, keepdims=True)
    y = items.responses - centre
    parts, scales = _fitted(items, choices, y)
    sizes, distances = items.members.sum(axis=1), _distances(items.members)
    covariances = [part.between(distances, sizes, sizes) for part in parts]
    return Conditioned(parts, scales, fit(covariances, _noise(items.units), y, scales, items.units))


def _fitted(items: Items, choices: Sequence[Sequence[Component]], y: FloatArray) -> tuple[Sequence[Component], Scales]:
    """The components whose fit to some rows and columns is best, and their scales."""
    rows = np.unique(np.linspace(0, len(y) - 1, min(len(y), ROWS_TO_FIT)).round().astype(np.int64))
    last = y.shape[1] - 1  # the mean, which people ask for most, and a few test instances
    chosen = np.unique(
        np.append(np.linspace(0, last - 1, min(last, COLUMNS_TO_FIT - 1)).round().astype(np.int64), last)
    )
    sample = y[np.ix_(rows, chosen)]
    spread = sample.std(axis=0)
    sample = sample[:, spread > 0.0] / spread[spread > 0.0]
    members = items.members[rows]
    sizes, distances, noise = members.sum(axis=1), _distances(members), _noise(items.units[rows])
    if not sample.shape[1]:
        return choices[0], Scales((1.0, 1.0, 1.0), 1.0, 0.0)
    found = [
        (parts, fitted_scales([part.between(distances, sizes, sizes) for part in parts], noise, sample))
        for parts in choices
    ]
    return min(found, key=lambda each: each[1].loss)


def _noise(units: IntArray) -> FloatArray:
    """The noise of each item up to a scale: the same for all that were drawn, next to none for end rows."""
    return np.where(units < 0, END_NOISE, 1.0)


def _distances(members: BoolArray) -> IntArray:
    """In how many instances each two rows of members [m, n] differ, [m, m]."""
    x = members.astype(np.float32)  # exact: counts below 2^24
    sizes = members.sum(axis=1)
    common: IntArray = np.rint(x @ x.T).astype(np.int64)
    common *= -2
    common += sizes[:, None]
    common += sizes[None, :]
    return common


def _corrected(items: Items, surrogate: Conditioned, ends: EndRows) -> BlockEstimate:
    """The surrogate's semivalue, the correction, and the variance over units, a few columns at a time."""
    parts, scales, found = surrogate.parts, surrogate.scales, surrogate.fit
    sizes, members = items.members.sum(axis=1), items.members.astype(np.float64).T
    inside = sum(scale * part.inside[sizes] for scale, part in zip(scales.components, parts, strict=True))
    outside = sum(scale * part.outside[sizes] for scale, part in zip(scales.components, parts, strict=True))
    trust, share, drawn = _trusted(found, items)[:, None], items.share[:, None], items.units >= 0
    spread = np.sqrt(np.maximum(1.0 - share, 0.0)) if ends.deterministic else np.ones_like(share)
    shape = (len(members), found.coefficients.shape[1])
    values, variances = np.empty(shape), np.empty(shape)
    sides = Sides.of(
        members if drawn.all() else members[:, drawn], items.inside[drawn], items.outside[drawn], items.units[drawn]
    )
    step, jump = (inside - outside)[:, None], (items.inside + items.outside)[:, None]
    for columns in column_blocks(shape[1]):
        left_out = trust * found.left_out[:, columns]
        coefficients = found.coefficients[:, columns]
        seen = share * (found.own[:, None] * coefficients) + (1.0 - share) * left_out
        # the surrogate's value and the correction in one product: where the instance is in, less where it is not
        found_here = members @ (step * coefficients + jump * seen)
        values[:, columns] = found_here + (outside @ coefficients - items.outside @ seen)
        variances[:, columns] = sides.variance((spread * left_out)[drawn])
    return BlockEstimate(values, variances)


def _trusted(found: Fit, items: Items) -> FloatArray:
    """1 for most items, less for those that are nearly all that is known of an effect.

    Their leave-one-out residuals are the effect itself, not what the surrogate leaves, and would be counted twice.
    """
    typical = float(np.median(found.predicted[items.units >= 0]))
    trust: FloatArray = np.minimum(1.0, MOST_PREDICTED * typical / found.predicted)
    return trust


def _end_variance(law: SemivalueLaw, ends: EndRows) -> FloatArray:
    """The learner's noise in v(D), R times retrained, and v(empty), as far as the value weights them: [c]."""
    columns = ends.full.shape[1] + 1
    if ends.deterministic or max(law.p[0], law.p[-1]) < END_WEIGHT:
        return np.zeros(columns)
    if len(ends.full) == 1:
        return np.full(columns, np.nan)
    noise: FloatArray = with_mean(ends.full).var(axis=0, ddof=1)
    noise *= law.p[-1] ** 2 / len(ends.full) + law.p[0] ** 2
    return noise
