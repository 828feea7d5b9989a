"""Semivalues of one size or of a band of sizes, and semivalues from walks by their own marginals."""

from types import MappingProxyType
from typing import Any

from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.semivalues import band_sizes, shapley_sizes
from estimators.aggregators.size_weights import semivalue_objection
from estimators.aggregators.walk_marginals import WalkMarginals
from estimators.aggregators.weighted_contrast import WeightedContrast
from estimators.designs.permutation import Permutation
from estimators.designs.protocol import Design
from estimators.methods.laws import refusal
from estimators.methods.value_method import Asked, Option, Options, ValueMethod
from estimators.methods.walks import walk_error
from estimators.predicted_errors import weighted_contrast_error


def _band(asked: Asked) -> Aggregator[Any, Any]:
    first, last = _sizes(asked.options, asked.design.n)
    p = band_sizes(asked.design.n, first, last)
    return WeightedContrast(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends, p=p)


def _sizes(options: Options, n: int) -> tuple[int, int]:
    """The sizes with the instance: from `size` (unsaid: half of n) to `to_size` (unsaid: the same)."""
    first = int(options["size"]) or max(1, n // 2)
    return min(first, n), min(max(first, int(options["to_size"])), n)


def _band_error(spread: float, *, n: int, retrains: int, design: Design, options: Options) -> float:
    return weighted_contrast_error(band_sizes(n, *_sizes(options, n)), spread, retrains=retrains, design=design)


def _band_objection(design: Design, options: Options, draws: int | None) -> str:
    first, last = _sizes(options, design.n)
    reason = semivalue_objection(band_sizes(design.n, first, last), design, draws)
    if not reason and design.unit_rows > 1:
        reason = "its rows are not independent"
    sizes = ", ".join(str(size) for size in range(max(1, first - 1), min(last, design.n - 1) + 1)[:6])
    return refusal("expected_leave_one_out", design, reason, f"design uniform with size: [{sizes}]") if reason else ""


def _permutations(asked: Asked) -> Aggregator[Any, Any]:
    p = shapley_sizes(asked.design.n)
    return WalkMarginals(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends, p=p)


def _walks(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    if isinstance(design, Permutation):
        return ""
    reason = "it takes walks that add the instances one by one"
    return refusal("shapley_permutations", design, reason, "design permutation")


def _whole(number: float) -> bool:
    return number >= 0 and number == int(number)


ROWS = (
    ValueMethod(
        name="expected_leave_one_out",
        title="Expected leave-one-out effect at a size",
        meaning=(
            "How much an instance lowers the test loss when it joins a random subset, so that there are `size` "
            "instances with it (or up to `to_size`, each size alike)."
        ),
        formula="mean of L over subsets of m - 1 without i - mean of L over subsets of m with i",
        paper="Kandpal, Wallace and Raffel 2022; Hammoudeh and Lowd 2024 (expected leave-one-out)",
        equation="Hammoudeh and Lowd 2024, section 4.2",
        cost="as many retrains as asked, of sizes m - 1 and m; error about 2 s / sqrt(K)",
        designs=("bernoulli",),
        maker=_band,
        prediction=_band_error,
        objection=_band_objection,
        by_request=True,
        takes=MappingProxyType(
            {
                "size": Option(0.0, "the size with the instance", "a whole number, 0 for half of n", _whole),
                "to_size": Option(0.0, "the last size of a band", "a whole number, 0 for `size`", _whole),
            }
        ),
    ),
    ValueMethod(
        name="shapley_permutations",
        title="Shapley value by permutations",
        meaning=(
            "The Shapley value as the mean marginal contribution over random orders; of truncated walks (TMC-Shapley) "
            "with the marginals after the stop taken as 0."
        ),
        formula="mean over walks of L(instances before i) - L(these and i)",
        paper="Castro, Gomez and Tejada 2009; Ghorbani and Zou, ICML 2019 (TMC); Mitchell et al., JMLR 2022 (pairs)",
        equation="Ghorbani and Zou 2019, algorithm 1; Hammoudeh and Lowd 2024, section 4.3.3",
        cost="n - 1 retrains a walk, fewer where truncated; error about s / sqrt(walks)",
        designs=("permutation",),
        maker=_permutations,
        prediction=walk_error,
        objection=_walks,
        by_request=True,
    ),
)
