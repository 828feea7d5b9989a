"""Errors of many methods on many games, as tables: means over seeds, geometric means over games."""

from collections.abc import Sequence

import numpy as np

from harness.table import print_table

FLOOR = 1e-4
RESAMPLES = 1000
Cell = tuple[str, int]
"""(game, multiple of n)."""

Errors = dict[tuple[str, str], np.ndarray]
"""(method, game) -> relative squared errors [seeds, multiples]; NaN where a method refuses the budget."""


def log_errors(errors: Errors, name: str, games: Sequence[str], seeds: np.ndarray | None = None) -> np.ndarray:
    """Log of the mean error over seeds (all, or those chosen), [games, multiples]."""
    chosen = [errors[name, game] if seeds is None else errors[name, game][seeds] for game in games]
    return np.log(np.maximum([each.mean(axis=0) for each in chosen], FLOOR))


def show_means(errors: Errors, default: str, games: Sequence[str], multiples: Sequence[int]) -> list[str]:
    """The table of all methods, best first, each beside the default on the seeds and budgets that both have."""
    names = list(dict.fromkeys(name for name, _ in errors))
    means = {name: log_errors(errors, name, games) for name in names}
    order = sorted(names, key=lambda name: np.nanmean(means[name]) if not np.isnan(means[name]).all() else np.inf)
    rows = []
    for name in order:
        by_multiple = [_shown(means[name][:, place]) for place in range(len(multiples))]
        ratio = "" if name == default else _ratio_words(errors, default, name, games)
        rows.append([name, *by_multiple, _shown(means[name]), ratio, len(errors[name, games[0]])])
    print_table(["method", *(f"{m} n" for m in multiples), "all", "default / it (95 %)", "seeds"], rows)
    return order


def _shown(logs: np.ndarray) -> str:
    return "refused" if np.isnan(logs).any() else f"{np.exp(logs.mean()):.3g}"


def ratio(errors: Errors, default: str, other: str, games: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Log ratios [games] of the default's error to another's over the budgets, and their means in resamples of seeds.

    Both on the seeds that the other has (a paired bootstrap), and on the budgets that it does not refuse.
    """
    count = min(len(errors[other, game]) for game in games)
    rng = np.random.default_rng(0)

    def logs(seeds: np.ndarray) -> np.ndarray:
        return log_errors(errors, default, games, seeds) - log_errors(errors, other, games, seeds)

    whole = logs(np.arange(count))
    drawn = [np.nanmean(logs(rng.integers(0, count, count))) for _ in range(RESAMPLES)]
    return np.nanmean(whole, axis=1), np.array(drawn)


def _ratio_words(errors: Errors, default: str, other: str, games: Sequence[str]) -> str:
    if all(np.isnan(errors[other, game]).all() for game in games):
        return "-"
    by_game, drawn = ratio(errors, default, other, games)
    low, high = np.exp(np.quantile(drawn, [0.025, 0.975]))
    return f"{np.exp(np.mean(by_game)):.3f} ({low:.3f} to {high:.3f})"


def show_verdict(errors: Errors, default: str, best: str, games: Sequence[str]) -> None:
    """The default against the best single peer, overall and on the worst game."""
    by_game, drawn = ratio(errors, default, best, games)
    low, high = np.exp(np.quantile(drawn, [0.025, 0.975]))
    print(f"\n{default} against the best single peer, {best}: {np.exp(by_game.mean()):.3f} of its error")
    print(f"(95 % paired bootstrap over seeds: {low:.3f} to {high:.3f}; at most 1.05 is asked)")
    worst = int(np.argmax(by_game))
    print(f"on the worst game, {games[worst]}: {np.exp(by_game[worst]):.3f} of it (at most 1.5 is asked)")


def show_games(errors: Errors, shown: Sequence[str], games: Sequence[str]) -> None:
    """Errors on each game at each budget."""
    means = {name: np.exp(log_errors(errors, name, games)) for name in shown}
    rows = [
        [game, *(" / ".join(f"{error:.2g}" for error in means[name][place]) for name in shown)]
        for place, game in enumerate(games)
    ]
    print_table(["game", *shown], rows)
