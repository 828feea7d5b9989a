"""How many retrains does a Shapley or Banzhaf value take? Squared error at 4 n, 16 n and 64 n different subsets.

Beside every pyDVL sampler and shapiq approximator, on closed-form games and on models trained on real digits, the same
seeds for all. Errors are sums of squared errors over the sum of squared values, means over seeds; an error below 1e-4
(1 % of the values' size) counts as 1e-4. Run it with an interpreter that has the peers (extra `peers`):

    PYTHONPATH=. python benchmarks/sample_efficiency.py --seeds 30 --picture sample_efficiency.png
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness.table import machine, print_table
from harness.value_games import Game, all_games
from harness.value_peers import Estimates, pydvl_methods, shapiq_methods

from estimators.aggregators.blocks import aggregate
from estimators.designs import Design, make_design
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains

MULTIPLES = (4, 16, 64)
FLOOR = 1e-4
FEWER = ("maximum sample reuse", "design sizes", "design bernoulli", "design permutation")
"""Methods with 4 seeds: slow ones, and our own beside the default."""
Errors = dict[tuple[str, str, int], np.ndarray]
"""(method, game, multiple of n) -> squared errors [seeds], relative."""


def ours(value: str) -> dict[str, Callable[[Game, list[int], int], Estimates]]:
    serves = {"serves": (("shapley", 1.0),)} if value == "shapley" else {"probability": 0.5}
    methods = {
        f"apportion {value} (default), design paired": _estimated(value, "paired", serves),
        f"apportion {value}, design {'sizes' if value == 'shapley' else 'bernoulli'}": _estimated(
            value, "sizes" if value == "shapley" else "bernoulli", {}
        ),
    }
    if value == "shapley":
        methods["apportion shapley, design permutation"] = _estimated(value, "permutation", {})
    else:
        methods["apportion banzhaf_sample_reuse"] = _estimated("banzhaf_sample_reuse", "bernoulli", {})
    return methods


def _estimated(value: str, design_name: str, said: dict) -> Callable[[Game, list[int], int], Estimates]:
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


def measured(value: str, games: list[Game], seeds: int, proxyspex: int) -> Errors:
    methods = {**ours(value), **shapiq_methods(value), **pydvl_methods(value)}
    errors: Errors = {}
    for game in games:
        truth, budgets = game.exact(value), [multiple * game.n for multiple in MULTIPLES]
        for name, method in methods.items():
            began, count = time.perf_counter(), _seeds_of(name, seeds, proxyspex)
            for multiple in MULTIPLES[: 3 * min(count, 1)]:
                errors[name, game.name, multiple] = []
            for seed in range(count):
                found = method(game, budgets, seed)
                for multiple, budget in zip(MULTIPLES, budgets, strict=True):
                    error = np.sum((found[budget] - truth) ** 2) / np.sum(truth**2)
                    errors[name, game.name, multiple].append(float(error))
            print(f"{value} {game.name} {name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return {key: np.array(each) for key, each in errors.items()}


def _seeds_of(name: str, seeds: int, proxyspex: int) -> int:
    if "ProxySPEX" in name:
        return proxyspex
    return min(seeds, 4) if any(word in name for word in FEWER) else seeds


def log_error(errors: Errors, name: str, cells: list[tuple[str, int]], seeds: np.ndarray | None = None) -> np.ndarray:
    """Log of the mean error of each cell (game, multiple), of the seeds chosen."""
    chosen = [errors[name, *cell] if seeds is None else errors[name, *cell][seeds] for cell in cells]
    return np.log(np.maximum([np.nanmean(each) for each in chosen], FLOOR))


def compared(errors: Errors, value: str, games: list[Game]) -> None:
    names = list(dict.fromkeys(name for name, _, _ in errors))
    cells = [(game.name, multiple) for game in games for multiple in MULTIPLES]
    means = {name: log_error(errors, name, cells) for name in names}
    print(f"\n## {value}: geometric mean of errors over {len(games)} games\n")
    rows = [
        [
            name,
            *(f"{np.exp(np.mean(means[name][i :: len(MULTIPLES)])):.3g}" for i in range(len(MULTIPLES))),
            f"{np.exp(means[name].mean()):.3g}",
            len(errors[name, games[0].name, MULTIPLES[0]]),
        ]
        for name in sorted(names, key=lambda name: means[name].mean())
    ]
    print_table(["method", *(f"{multiple} n" for multiple in MULTIPLES), "all", "seeds"], rows)
    default = next(iter(names))
    most = len(errors[default, *cells[0]])
    peers = [name for name in names if not name.startswith("apportion") and len(errors[name, *cells[0]]) == most]
    if not peers:
        print("\npeers: not installed")
        return
    best = min(peers, key=lambda name: means[name].mean())
    _against(errors, default, best, cells, games)
    print(f"\n### {value}, each game at {', '.join(f'{m} n' for m in MULTIPLES)}\n")
    shown = [default, *sorted(peers, key=lambda name: means[name].mean())[:5]]
    print_table(
        ["game", *shown],
        [
            [game.name, *(" / ".join(f"{errors[name, game.name, m].mean():.2g}" for m in MULTIPLES) for name in shown)]
            for game in games
        ],
    )


def _against(errors: Errors, default: str, best: str, cells: list[tuple[str, int]], games: list[Game]) -> None:
    ratios = log_error(errors, default, cells) - log_error(errors, best, cells)
    rng, count = np.random.default_rng(0), len(errors[default, *cells[0]])
    drawn = []
    for _ in range(1000):
        seeds = rng.integers(0, count, count)
        drawn.append(np.mean(log_error(errors, default, cells, seeds) - log_error(errors, best, cells, seeds)))
    low, high = np.exp(np.quantile(drawn, [0.025, 0.975]))
    print(f"\n{default} against the best single peer, {best}: {np.exp(ratios.mean()):.3f} of its error")
    print(f"(95 % paired bootstrap over seeds: {low:.3f} to {high:.3f}; at most 1.05 is asked)")
    by_game = {game.name: np.exp(ratios[i * 3 : i * 3 + 3].mean()) for i, game in enumerate(games)}
    worst = max(by_game, key=by_game.get)
    print(f"on the worst game, {worst}: {by_game[worst]:.3f} of it (at most 1.5 is asked)")


def drawn_picture(results: dict[str, Errors], games: list[Game], file: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only where a picture is asked for

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    cells = [(game.name, multiple) for game in games for multiple in MULTIPLES]
    figure, axes = plt.subplots(1, len(results), figsize=(6.5 * len(results), 5), sharey=True)
    for axis, (value, errors) in zip(np.atleast_1d(axes), results.items(), strict=True):
        for name in dict.fromkeys(name for name, _, _ in errors):
            means = log_error(errors, name, cells).reshape(len(games), len(MULTIPLES)).mean(axis=0)
            own = name.startswith("apportion")
            axis.loglog(MULTIPLES, np.exp(means), marker="o", lw=2.5 if own else 1, alpha=1 if own else 0.6, label=name)
        axis.set(title=value, xlabel="different subsets trained, in n", xticks=MULTIPLES, xticklabels=MULTIPLES)
        axis.legend(fontsize=6)
    np.atleast_1d(axes)[0].set_ylabel("squared error over squared value, geometric mean over games")
    figure.tight_layout()
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--proxyspex", type=int, default=0, help="seeds of ProxySPEX, which takes 8 s a run")
    parser.add_argument("--picture", type=Path, default=Path("sample_efficiency.png"))
    given = parser.parse_args()
    games = all_games()
    print(machine("shapiq", "pydvl"))
    results = {value: measured(value, games, given.seeds, given.proxyspex) for value in ("shapley", "banzhaf")}
    for value, errors in results.items():
        compared(errors, value, games)
    drawn_picture(results, games, given.picture)
    print(f"\npicture: {given.picture}")


if __name__ == "__main__":
    main()
