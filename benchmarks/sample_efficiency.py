"""How many retrains does a Shapley or Banzhaf value take? Squared error at 4 n, 16 n and 64 n different subsets.

Beside every pyDVL sampler and shapiq approximator, on closed-form games and on models trained on real digits, the same
seeds for all. Errors are sums of squared errors over the sum of squared values, means over seeds; an error below 1e-4
(1 % of the values' size) counts as 1e-4. Run it with an interpreter that has the peers (extra `peers`):

    PYTHONPATH=. python benchmarks/sample_efficiency.py --seeds 30 --picture sample_efficiency.png

With `--keep FILE` each finished task is a line of FILE, and a later run goes on from there; `--minutes 3` stops early.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import numpy as np
from harness.efficiency_picture import drawn_picture
from harness.efficiency_tables import Errors, log_errors, show_games, show_means, show_verdict
from harness.own_values import own_methods
from harness.pydvl_peers import NOT_RUN as PYDVL_NOT_RUN
from harness.pydvl_peers import pydvl_methods
from harness.shapiq_peers import NOT_RUN as SHAPIQ_NOT_RUN
from harness.shapiq_peers import shapiq_methods
from harness.table import machine, print_table
from harness.value_games import Game, Method, all_games

VALUES = ("shapley", "banzhaf")
MULTIPLES = (4, 16, 64)
SLOW = {"ProxySPEX": 10, "shapiq SPEX": 3}
"""Methods that get fewer seeds: they take some 20 s and 60 s a run, the others up to 1.5 s."""

Task = tuple[str, str, str, int, int]
"""Value, method, game, first seed, seed after the last."""


@cache
def methods_of(value: str) -> dict[str, Method]:
    return {**own_methods(value), **shapiq_methods(value), **pydvl_methods(value)}


@cache
def games() -> dict[str, Game]:
    return {game.name: game for game in all_games()}


def carried_out(task: Task) -> tuple[Task, list[list[float]], float]:
    """Relative squared errors [seeds][multiples] of a task, and its seconds."""
    value, name, game_name, first, last = task
    game, began = games()[game_name], time.perf_counter()
    truth, budgets = game.exact(value), [multiple * game.n for multiple in MULTIPLES]
    errors = []
    for seed in range(first, last):
        found = methods_of(value)[name](game, budgets, seed)
        errors.append([float(np.sum((found[budget] - truth) ** 2) / np.sum(truth**2)) for budget in budgets])
    return task, errors, time.perf_counter() - began


def tasks_of(seeds: int) -> Iterator[Task]:
    """The slowest last, seed by seed, so that no core waits long at the end."""
    found = []
    for value in VALUES:
        for name in methods_of(value):
            count = next((min(seeds, most) for word, most in SLOW.items() if word in name), seeds)
            step = 1 if count < 10 else 10
            for game in games():
                found += [(value, name, game, at, min(at + step, count)) for at in range(0, count, step)]
    return iter(
        sorted(found, key=lambda task: (task[4] - task[3] == 1, any(word in task[1] for word in SLOW), task[3]))
    )


def measured(seeds: int, kept: Path | None, until: float) -> tuple[dict[str, Errors], dict[str, float], bool]:
    """Errors by value, seconds by method, and whether all is done."""
    done = {} if kept is None or not kept.exists() else _read(kept)
    left = [task for task in tasks_of(seeds) if task not in done]  # makes the games, before there are processes
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        waiting = {pool.submit(carried_out, task) for task in left}
        for future in as_completed(waiting):
            task, errors, seconds = future.result()
            done[task] = errors, seconds
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps([task, errors, seconds]) + "\n")
            if time.monotonic() > until:
                break
        pool.shutdown(wait=True, cancel_futures=True)
    return _gathered(done, seeds), _seconds(done), all(task in done for task in tasks_of(seeds))


def _read(kept: Path) -> dict[Task, tuple[list[list[float]], float]]:
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    return {tuple(task): (errors, seconds) for task, errors, seconds in lines}


def _gathered(done: dict[Task, tuple[list[list[float]], float]], seeds: int) -> dict[str, Errors]:
    results: dict[str, Errors] = {value: {} for value in VALUES}
    for task in sorted((task for task in tasks_of(seeds) if task in done), key=lambda task: task[3]):
        value, name, game, _, _ = task
        before = results[value].get((name, game), np.zeros((0, len(MULTIPLES))))
        results[value][name, game] = np.concatenate([before, np.array(done[task][0])])
    return results


def _seconds(done: dict[Task, tuple[list[list[float]], float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for (value, name, *_), (_, seconds) in done.items():
        found[f"{name} ({value})"] = found.get(f"{name} ({value})", 0.0) + seconds
    return found


def show(value: str, errors: Errors) -> None:
    names = list(games())
    default = next(iter(methods_of(value)))
    print(f"\n## {value}: geometric mean of errors over {len(names)} games\n")
    order = show_means(errors, default, names, MULTIPLES)
    peers = [
        name
        for name in order
        if not name.startswith("apportion") and not np.isnan(log_errors(errors, name, names)).any()
    ]
    if not peers:
        print("\npeers: not installed")
        return
    show_verdict(errors, default, peers[0], names)
    left_out = {**SHAPIQ_NOT_RUN[value], **PYDVL_NOT_RUN}
    print("\nnot run:")
    print_table(["method", "why"], [[name, why] for name, why in left_out.items()])
    print(f"\n### {value}, each game at {', '.join(f'{m} n' for m in MULTIPLES)}\n")
    show_games(errors, [default, *peers[:5]], names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--keep", type=Path, help="a file that keeps finished tasks; a later run goes on from there")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no task after so long")
    parser.add_argument("--picture", type=Path, default=Path("sample_efficiency.png"))
    given = parser.parse_args()
    print(machine("shapiq", "pydvl"))
    began = time.monotonic()
    results, seconds, whole = measured(given.seeds, given.keep, began + 60 * given.minutes)
    print(f"{time.monotonic() - began:.0f} s on {os.cpu_count()} cores, {sum(seconds.values()):.0f} s of work")
    slowest = sorted(seconds, key=seconds.get, reverse=True)[:8]
    print("slowest: " + ", ".join(f"{name} {seconds[name]:.0f} s" for name in slowest))
    if not whole:
        print("not done yet: run it again with the same --keep")
        return
    for value, errors in results.items():
        show(value, errors)
    drawn_picture(results, list(games()), MULTIPLES, given.picture)
    print(f"\npicture: {given.picture}")


if __name__ == "__main__":
    main()
