"""Shapley and Banzhaf values by this project's estimators, at a budget of different subsets."""

import numpy as np

from estimators.aggregators.blocks import aggregate
from estimators.designs import Design, make_design
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains
from harness.value_games import Estimates, Game, Method

SHAPLEY = {"serves": (("shapley", 1.0),)}


def own_methods(value: str) -> dict[str, Method]:
    """The default first."""
    if value == "shapley":
        return {
            "apportion shapley (default), design paired": _estimated("shapley", "paired", SHAPLEY),
            "apportion shapley, design sizes": _estimated("shapley", "sizes", {}),
            "apportion shapley, design permutation": _estimated("shapley", "permutation", {}),
            "apportion shapley_permutations, antithetic": _estimated(
                "shapley_permutations", "permutation", {"order": "antithetic"}
            ),
            "apportion shapley_permutations, rotated": _estimated(
                "shapley_permutations", "permutation", {"order": "rotated"}
            ),
        }
    return {
        "apportion banzhaf (default), design paired": _estimated("banzhaf", "paired", {"probability": 0.5}),
        "apportion banzhaf, design bernoulli": _estimated("banzhaf", "bernoulli", {}),
        "apportion banzhaf_least_squares, design paired": _estimated(
            "banzhaf_least_squares", "paired", {"probability": 0.5}
        ),
        "apportion banzhaf_sample_reuse": _estimated("banzhaf_sample_reuse", "bernoulli", {}),
    }


def _estimated(value: str, design_name: str, said: dict) -> Method:
    def method(game: Game, budgets: list[int], seed: int) -> Estimates:
        design, found = make_design(design_name, n=game.n, seed=seed, **said), {}
        losses = -game.worth[:, None]
        ends = EndRows(full=losses[-1:], empty=losses[0], deterministic=True)
        for budget in budgets:
            members = _within(design, game, budget - 2)
            rows = Retrains(members, losses[game.numbers(members)], None, None, design.units(0, len(members)))
            aggregator = value_method(value).make(loss="worth", ends=ends, design=design)
            found[budget] = aggregate(aggregator, [rows]).data_values().values
        return found

    return method


def _within(design: Design, game: Game, budget: int) -> np.ndarray:
    """Whole units of draws until `budget` different subsets other than D and the empty one are among them."""
    drawn = design.draws(0, (3 * budget // design.unit_rows + 1) * design.unit_rows)
    numbers, seen = game.numbers(drawn), set()
    for start in range(0, len(drawn), design.unit_rows):
        seen.update(int(k) for k in numbers[start : start + design.unit_rows] if 0 < k < len(game.worth) - 1)
        if len(seen) >= budget:
            return drawn[: start + design.unit_rows]
    return drawn
