"""What a surrogate is fitted to: the different subsets of a block of rows, or their pairs folded into one each."""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.columns import with_mean
from estimators.aggregators.kept_rows import KeptRows, distinct
from estimators.aggregators.size_weights import RowWeights, shared_chance
from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.retrains import EndRows
from estimators.surrogates.kernels import SemivalueLaw

END_WEIGHT = 1e-6
"""End rows enter the surrogate where the semivalue gives them more than this."""


@dataclass(frozen=True, slots=True)
class Items:
    """What the surrogate is fitted to: rows, or pairs folded into one. m items, u units.

    members [m, n]; responses [m, c]; units [m], -1 for end rows; inside, outside [m]: the value's weight of the
    response where the instance is in and (with the other sign) where it is not; share [m]: the probability f of the
    item to be among the draws. folded: responses are half the difference to the complement.
    """

    members: BoolArray
    responses: FloatArray
    units: IntArray
    inside: FloatArray
    outside: FloatArray
    share: FloatArray
    folded: bool


def items_of(block: KeptRows, law: SemivalueLaw, weights: RowWeights, ends: EndRows, pivot: FloatArray) -> Items:
    """The items of a block of at least 2 units, whose losses are less the pivot [c], end rows included."""
    fold = law.symmetric and _is_paired(block)
    return _with_ends(_drawn(block, weights, fold=fold), law, ends, pivot)


def weighs_ends(law: SemivalueLaw) -> bool:
    """Whether v(D) or v(empty) has a weight worth its mention."""
    return bool(max(law.p[0], law.p[-1]) >= END_WEIGHT)


def _is_paired(block: KeptRows) -> bool:
    if len(block.units) != 2 * block.unit_count or (block.units != np.arange(len(block.units)) // 2).any():
        return False
    return bool((block.members[::2] ^ block.members[1::2]).all())


def _drawn(block: KeptRows, weights: RowWeights, *, fold: bool) -> Items:
    """The block's different subsets, or pairs: of each pair the member without the last instance, so that it is one."""
    units, per_unit = block.unit_count, 1
    if fold:
        first = ~block.members[::2, -1]
        sign = np.where(first, 0.5, -0.5)[:, None]
        members = np.where(first[:, None], block.members[::2], block.members[1::2])
        block = KeptRows(members, sign * (block.losses[::2] - block.losses[1::2]), np.arange(units))
        per_unit = 2
    else:
        per_unit = max(1, round(_different(block) / units))
    rows = distinct(block)
    np.negative(rows.losses, out=rows.losses)  # its own, not the block's
    sizes = rows.members.sum(axis=1)
    share, ratio = shared_chance(np.minimum(per_unit * weights.chance, 1.0), units)
    factor = (2.0 if fold else 1.0) * ratio / per_unit  # the value's weight times 1 / f is (omega / q) factor
    over_share = factor[sizes]
    return Items(
        members=rows.members,
        responses=rows.losses,
        units=rows.units,
        inside=weights.inside[sizes] * over_share,
        outside=weights.outside[sizes] * over_share,
        share=share[sizes],
        folded=fold,
    )


def _different(block: KeptRows) -> int:
    """How many subsets there are, told apart by their unit too."""
    if block.unit_count == len(block.units):
        return block.unit_count
    return len(np.unique(np.column_stack([block.units, np.packbits(block.members, axis=1)]), axis=0))


def _with_ends(items: Items, law: SemivalueLaw, ends: EndRows, pivot: FloatArray) -> Items:
    """The items with v(D) and v(empty), or with half their difference, where the semivalue gives them weight."""
    if not weighs_ends(law):
        return items
    n, fold = law.n, items.folded
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
        folded=fold,
    )
