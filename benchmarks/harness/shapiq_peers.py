"""Shapley and Banzhaf values by shapiq's approximators, at a budget of different subsets."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.value_games import Estimates, Game, Method

NOT_RUN = {
    "shapley": {
        "shapiq PermutationSamplingSTII": "at order 1 its index is the Shapley value, which the permutations above are",
    },
    "banzhaf": {
        "shapiq KernelSHAP, kADD-SHAP, SVARM, stratified, Owen, permutations": "they give Shapley values alone",
        "shapiq KernelSHAP-IQ, faithful Shapley regression": "they give Shapley interactions alone",
    },
}
"""By value: what is left out, and why."""


def shapiq_methods(value: str) -> dict[str, Method]:
    """Every approximator that gives the value, with its best setting (pairs where it has any)."""
    try:
        from shapiq import approximator as a  # noqa: PLC0415
    except ImportError:
        return {}
    if value == "shapley":
        return {
            "shapiq KernelSHAP, paired": _run(lambda n, s: a.KernelSHAP(n, pairing_trick=True, random_state=s)),
            "shapiq kADD-SHAP 2, paired": _run(lambda n, s: a.kADDSHAP(n, 2, pairing_trick=True, random_state=s)),
            "shapiq kADD-SHAP 3, paired": _run(lambda n, s: a.kADDSHAP(n, 3, pairing_trick=True, random_state=s)),
            "shapiq unbiased KernelSHAP": _run(
                lambda n, s: a.UnbiasedKernelSHAP(n, pairing_trick=True, random_state=s)
            ),
            "shapiq KernelSHAP-IQ": _run(lambda n, s: a.KernelSHAPIQ(n, 1, "SII", pairing_trick=True, random_state=s)),
            "shapiq inconsistent KernelSHAP-IQ": _run(
                lambda n, s: a.InconsistentKernelSHAPIQ(n, 1, "SII", pairing_trick=True, random_state=s)
            ),
            "shapiq faithful Shapley 1": _run(lambda n, s: a.RegressionFSII(n, 1, pairing_trick=True, random_state=s)),
            "shapiq SVARM": _run(lambda n, s: a.SVARM(n, random_state=s)),
            "shapiq SVARM-IQ": _run(lambda n, s: a.SVARMIQ(n, 1, "SII", random_state=s)),
            "shapiq SHAP-IQ": _run(lambda n, s: a.SHAPIQ(n, 1, "SII", random_state=s)),
            "shapiq permutations": _run(lambda n, s: a.PermutationSamplingSV(n, random_state=s)),
            "shapiq permutations (SII)": _run(lambda n, s: a.PermutationSamplingSII(n, 1, "SII", random_state=s)),
            "shapiq stratified": _run(lambda n, s: a.StratifiedSamplingSV(n, random_state=s)),
            "shapiq Owen": _run(lambda n, s: a.OwenSamplingSV(n, random_state=s)),
            "shapiq SPEX": _run(lambda n, s: a.SPEX(n=n, max_order=1, index="SV", random_state=s)),
            "shapiq ProxySPEX": _run(lambda n, s: a.ProxySPEX(n=n, max_order=1, index="SV", random_state=s)),
        }
    return {
        "shapiq faithful Banzhaf 1 (least squares), paired": _run(
            lambda n, s: a.RegressionFBII(n, 1, pairing_trick=True, random_state=s)
        ),
        "shapiq faithful Banzhaf 2, paired": _run(
            lambda n, s: a.RegressionFBII(n, 2, pairing_trick=True, random_state=s), read=_banzhaf_of_order_2
        ),
        "shapiq SHAP-IQ": _run(lambda n, s: a.SHAPIQ(n, 1, "BII", random_state=s)),
        "shapiq SVARM-IQ (stratified)": _run(lambda n, s: a.SVARMIQ(n, 1, "BII", random_state=s)),
        "shapiq SPEX": _run(lambda n, s: a.SPEX(n=n, max_order=1, index="BV", random_state=s)),
        "shapiq ProxySPEX": _run(lambda n, s: a.ProxySPEX(n=n, max_order=1, index="BV", random_state=s)),
    }


def _singles(result: Any, n: int) -> np.ndarray:
    return np.array([result[(i,)] for i in range(n)])


def _banzhaf_of_order_2(result: Any, n: int) -> np.ndarray:
    """Banzhaf values of the quadratic function nearest to the game: a_i + sum_j a_ij / 2."""
    pairs = np.array([[0.0 if i == j else result[tuple(sorted((i, j)))] for j in range(n)] for i in range(n)])
    return _singles(result, n) + pairs.sum(axis=1) / 2.0


def _run(maker: Callable[[int, int], Any], read: Callable[[Any, int], np.ndarray] = _singles) -> Method:
    """The method; NaN at a budget that it refuses as too small."""

    def method(game: Game, budgets: list[int], seed: int) -> Estimates:
        found = {}
        for budget in budgets:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    result = maker(game.n, seed).approximate(
                        budget, lambda members: np.atleast_1d(game.worth[game.numbers(members)] - game.worth[0])
                    )
                    found[budget] = read(result, game.n)
                except ValueError as error:
                    if "budget" not in str(error).lower():
                        raise
                    found[budget] = np.full(game.n, np.nan)
        return found

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return method
