"""Shapley and Banzhaf values by pyDVL's samplers and shapiq's approximators, at a budget of different subsets."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.value_games import Game

Estimates = dict[int, np.ndarray]
"""Values [n] for each budget."""

Method = Callable[[Game, list[int], int], Estimates]


def shapiq_methods(value: str) -> dict[str, Method]:
    """Shapiq's approximators of the value with their best setting (pairs where there are any)."""
    try:
        from shapiq import approximator as a  # noqa: PLC0415
    except ImportError:
        return {}
    if value == "shapley":
        makers = {
            "shapiq KernelSHAP, paired": lambda n, s: a.KernelSHAP(n, pairing_trick=True, random_state=s),
            "shapiq kADD-SHAP 2, paired": lambda n, s: a.kADDSHAP(n, max_order=2, pairing_trick=True, random_state=s),
            "shapiq kADD-SHAP 3, paired": lambda n, s: a.kADDSHAP(n, max_order=3, pairing_trick=True, random_state=s),
            "shapiq unbiased KernelSHAP": lambda n, s: a.UnbiasedKernelSHAP(n, pairing_trick=True, random_state=s),
            "shapiq SVARM": lambda n, s: a.SVARM(n, random_state=s),
            "shapiq SHAP-IQ": lambda n, s: a.SHAPIQ(n, max_order=1, index="SII", random_state=s),
            "shapiq permutations": lambda n, s: a.PermutationSamplingSV(n, random_state=s),
            "shapiq stratified": lambda n, s: a.StratifiedSamplingSV(n, random_state=s),
            "shapiq Owen": lambda n, s: a.OwenSamplingSV(n, random_state=s),
            "shapiq ProxySPEX": lambda n, s: a.ProxySPEX(n=n, max_order=1, index="SV", random_state=s),
        }
    else:
        makers = {
            "shapiq faithful Banzhaf 1 (least squares)": lambda n, s: a.RegressionFBII(
                n, max_order=1, pairing_trick=True, random_state=s
            ),
            "shapiq SHAP-IQ": lambda n, s: a.SHAPIQ(n, max_order=1, index="BII", random_state=s),
            "shapiq SVARM-IQ (stratified)": lambda n, s: a.SVARMIQ(n, max_order=1, index="BII", random_state=s),
            "shapiq ProxySPEX": lambda n, s: a.ProxySPEX(n=n, max_order=1, index="BV", random_state=s),
        }
    return {name: _approximated(maker) for name, maker in makers.items()}


def _approximated(maker: Callable[[int, int], Any]) -> Method:
    def method(game: Game, budgets: list[int], seed: int) -> Estimates:
        found = {}
        for budget in budgets:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = maker(game.n, seed).approximate(
                    budget, lambda members: np.atleast_1d(game.worth[game.numbers(members)] - game.worth[0])
                )
            found[budget] = np.array([result[(i,)] for i in range(game.n)])
        return found

    return method


def pydvl_methods(value: str) -> dict[str, Method]:
    """PyDVL's samplers for the value."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pydvl.valuation import methods as m  # noqa: PLC0415
            from pydvl.valuation import samplers as s  # noqa: PLC0415
    except ImportError:
        return {}
    logging.getLogger("pydvl").setLevel(logging.ERROR)
    subsets = {
        "pyDVL uniform": lambda seed, _each: s.UniformSampler(seed=seed),
        "pyDVL antithetic subsets": lambda seed, _each: s.AntitheticSampler(seed=seed),
        "pyDVL permutations": lambda seed, _each: s.PermutationSampler(seed=seed),
        "pyDVL antithetic permutations": lambda seed, _each: s.AntitheticPermutationSampler(seed=seed),
        "pyDVL Owen": lambda seed, _each: s.OwenSampler(
            s.GridOwenStrategy(n_samples_outer=_each), n_samples_inner=1, seed=seed
        ),
        "pyDVL antithetic Owen": lambda seed, _each: s.AntitheticOwenSampler(
            s.GridOwenStrategy(n_samples_outer=_each), n_samples_inner=1, seed=seed
        ),
        "pyDVL VRDS": lambda seed, _each: s.VRDSSampler(n_samples_per_index=_each, seed=seed),
    }
    if value == "shapley":
        return {
            name: _valued(lambda u, stop, sampler: m.ShapleyValuation(u, sampler, stop), make)
            for name, make in subsets.items()
        }
    methods = {
        name: _valued(lambda u, stop, sampler: m.BanzhafValuation(u, sampler, stop), make)
        for name, make in subsets.items()
        if name in {"pyDVL uniform", "pyDVL antithetic subsets", "pyDVL permutations"}
    }
    methods["pyDVL maximum sample reuse"] = _valued(
        lambda u, stop, sampler: m.MSRBanzhafValuation(u, stop, seed=sampler), lambda seed, _each: seed
    )
    return methods


def _valued(make_valuation: Callable[..., Any], make_sampler: Callable[[int, int], Any]) -> Method:
    from pydvl.utils.status import Status  # noqa: PLC0415
    from pydvl.valuation.dataset import Dataset  # noqa: PLC0415
    from pydvl.valuation.stopping import StoppingCriterion  # noqa: PLC0415
    from pydvl.valuation.utility.base import UtilityBase  # noqa: PLC0415

    class Worth(UtilityBase):
        def __init__(self, game: Game) -> None:
            self.game, self.seen = game, set()

        def __call__(self, sample: Any) -> float:
            if sample is None or len(sample.subset) == 0:
                return float(self.game.worth[0])
            number = int((1 << np.asarray(sample.subset, dtype=np.int64)).sum())
            self.seen.add(number)
            return float(self.game.worth[number])

    class Budget(StoppingCriterion):
        """Stops when a budget of different subsets is reached (or by samples where the sampler is finite)."""

        def __init__(self, worth: Worth, budget: int) -> None:
            super().__init__()
            self.worth, self.budget, self.updates = worth, budget, 0

        def _check(self, result: Any) -> Status:
            del result
            self.updates += 1
            return Status.Converged if len(self.worth.seen) >= self.budget or self.updates > 40_000 else Status.Pending

        def completion(self) -> float:
            return 0.0

    def method(game: Game, budgets: list[int], seed: int) -> Estimates:
        found, X = {}, np.zeros((game.n, 1))
        for budget in budgets:
            worth = Worth(game)
            stop = Budget(worth, budget)
            valuation = make_valuation(worth, stop, make_sampler(seed, max(1, round(budget / (2 * game.n)))))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                valuation.fit(Dataset(X, np.arange(game.n)))
            found[budget] = np.array(valuation.result.values)
        return found

    return method
