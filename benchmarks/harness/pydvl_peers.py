"""Shapley and Banzhaf values by pyDVL's samplers, at a budget of different subsets."""

import logging
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from harness.value_games import Estimates, Game, Method

NOT_RUN = {
    "pyDVL DeterministicUniformSampler": "it lists all 2^n subsets: the exact value, without a budget",
    "pyDVL DeterministicPermutationSampler": "it lists all n! permutations",
    "pyDVL LOOSampler": "it gives leave-one-out values",
    "pyDVL ClasswiseSampler": "it gives class-wise Shapley values, another value, and needs labels",
    "pyDVL DeltaShapleyNCSGDSampleSize": "it needs constants of an SGD learner; its authors' stand-in 1 / k^2 is below",
}

MOST_UPDATES = 40_000


def pydvl_methods(value: str) -> dict[str, Method]:
    """Every sampler with the value; all budgets are read off one run, where the sampler does not depend on them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pydvl.valuation import methods as m  # noqa: PLC0415
            from pydvl.valuation import samplers as s  # noqa: PLC0415
    except ImportError:
        return {}
    logging.getLogger("pydvl").setLevel(logging.ERROR)
    make = m.ShapleyValuation if value == "shapley" else m.BanzhafValuation
    found = {f"pyDVL {name}": _read_off(make, sampler) for name, sampler in _endless(s).items()}
    found |= {f"pyDVL {name}": _each_budget(make, sampler) for name, sampler in _finite(s).items()}
    if value == "banzhaf":
        found["pyDVL maximum sample reuse"] = _read_off(_reused(m.MSRBanzhafValuation), lambda seed: seed)
        return found
    found["pyDVL maximum sample reuse"] = _read_off(make, lambda seed: s.MSRSampler(seed=seed))
    truncated = partial(s.PermutationSampler, s.RelativeTruncation(rtol=0.01, burn_in_fraction=0.4))
    found["pyDVL truncated permutations (TMC)"] = _read_off(make, lambda seed: truncated(seed=seed))
    found["pyDVL Delta-Shapley (1 / k^2)"] = _read_off(m.DeltaShapleyValuation, _sized(s, s.PowerLawSampleSize, -2.0))
    found["pyDVL group testing (linear programme)"] = _group_testing(m)
    return found


def _endless(s: Any) -> dict[str, Callable[[int], Any]]:
    """Samplers without an end, by seed."""
    return {
        "uniform": lambda seed: s.UniformSampler(seed=seed),
        "antithetic subsets": lambda seed: s.AntitheticSampler(seed=seed),
        "permutations": lambda seed: s.PermutationSampler(seed=seed),
        "antithetic permutations": lambda seed: s.AntitheticPermutationSampler(seed=seed),
        "stratified, constant": _sized(s, s.ConstantSampleSize),
        "stratified, harmonic": _sized(s, s.HarmonicSampleSize),
        "stratified, 1 / sqrt(k)": _sized(s, s.PowerLawSampleSize, -0.5),
        "stratified, group testing": _sized(s, s.GroupTestingSampleSize),
        "stratified permutations": lambda seed: s.StratifiedPermutationSampler(s.ConstantSampleSize(), seed=seed),
    }


def _sized(s: Any, sizes: Any, *arguments: float) -> Callable[[int], Any]:
    return lambda seed: s.StratifiedSampler(
        sizes(*arguments), s.RandomSizeIteration, index_iteration=s.RandomIndexIteration, seed=seed
    )


def _finite(s: Any) -> dict[str, Callable[[int, int], Any]]:
    """Samplers with a number of draws for each index, by seed and that number."""
    return {
        "Owen, drawn": lambda seed, each: s.OwenSampler(
            s.UniformOwenStrategy(each, seed=seed), n_samples_inner=1, seed=seed
        ),
        "Owen, grid": lambda seed, each: s.OwenSampler(s.GridOwenStrategy(each), n_samples_inner=1, seed=seed),
        "antithetic Owen, grid": lambda seed, each: s.AntitheticOwenSampler(
            s.GridOwenStrategy(each), n_samples_inner=1, seed=seed
        ),
        "VRDS": lambda seed, each: s.VRDSSampler(n_samples_per_index=each, seed=seed),
    }


def _reused(valuation: Any) -> Callable[[Any, Any, Any], Any]:
    return lambda worth, seed, stop: valuation(worth, stop, seed=seed)


def _read_off(make: Callable[..., Any], sampler: Callable[[int], Any]) -> Method:
    def method(game: Game, budgets: list[int], seed: int) -> Estimates:
        worth, stop = _run(make, game, sampler(seed), budgets)
        del worth
        return stop.found

    return method


def _each_budget(make: Callable[..., Any], sampler: Callable[[int, int], Any]) -> Method:
    def method(game: Game, budgets: list[int], seed: int) -> Estimates:
        found = {}
        for budget in budgets:
            _, stop = _run(make, game, sampler(seed, max(1, round(budget / (2 * game.n)))), [budget])
            found |= stop.found
        return found

    return method


def _run(make: Callable[..., Any], game: Game, sampler: Any, budgets: list[int]) -> tuple[Any, Any]:
    from pydvl.valuation.dataset import Dataset  # noqa: PLC0415

    Worth, Budgets = _classes()
    worth = Worth(game)
    stop = Budgets(worth, budgets)
    valuation = make(worth, sampler, stop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        valuation.fit(Dataset(np.zeros((game.n, 1)), np.arange(game.n)))
    for budget in stop.left:  # a sampler that ends before it: what it has
        stop.found[budget] = np.array(valuation.result.values)
    return worth, stop


def _classes() -> tuple[Any, Any]:
    from pydvl.utils.status import Status  # noqa: PLC0415
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

    class Budgets(StoppingCriterion):
        """Takes the values down when each budget of different subsets is reached; stops at the last."""

        def __init__(self, worth: Worth, budgets: list[int]) -> None:
            super().__init__()
            self.worth, self.left, self.found, self.updates = worth, sorted(budgets), {}, 0

        def _check(self, result: Any) -> Status:
            self.updates += 1
            while self.left and (len(self.worth.seen) >= self.left[0] or self.updates > MOST_UPDATES):
                self.found[self.left.pop(0)] = np.array(result.values)
            return Status.Pending if self.left else Status.Converged

        def completion(self) -> float:
            return 0.0

    return Worth, Budgets


def _group_testing(m: Any) -> Method:
    """Its linear programme with the least slack (in steps of 3) that has a solution."""

    def method(game: Game, budgets: list[int], seed: int) -> Estimates:
        from pydvl.valuation.dataset import Dataset  # noqa: PLC0415

        Worth, _ = _classes()
        found, spread = {}, float(np.ptp(game.worth))
        for budget in budgets:
            count, found[budget] = _draws_for(game.n, budget), np.full(game.n, np.nan)
            for slack in (0.03, 0.1, 0.3, 1.0):
                valuation = m.GroupTestingShapleyValuation(
                    Worth(game), count, epsilon=slack * spread, progress=False, seed=seed
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    valuation.fit(Dataset(np.zeros((game.n, 1)), np.arange(game.n)))
                values = np.array(valuation.result.values, dtype=float)
                if np.isfinite(values).all():
                    found[budget] = values
                    break
        return found

    return method


def _draws_for(n: int, budget: int) -> int:
    """Draws of which `budget` are different on average, under the group-testing law of sizes."""
    from scipy.special import comb  # noqa: PLC0415

    sizes = np.arange(1, n)
    law = 1.0 / sizes + 1.0 / (n - sizes)
    ways = comb(n, sizes)
    chance, draws = law / law.sum() / ways, budget
    while float(ways @ -np.expm1(draws * np.log1p(-chance))) < budget and draws < 50 * budget:
        draws = int(1.05 * draws) + 1
    return draws
