"""Which design serves all the values asked for with the fewest retrains: laws of sizes, mixtures, pairs and walks.

Each candidate is carried out in imagination on the losses that a pilot fits (`planning`), through each value's own
aggregator, so that what pairs do for a regression, or walks for marginals, is in the figure; that no formula by sizes
has. Squared errors fall nearly as 1 / K, so a ratio of squared errors is one of retrains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimators.best_design import serving_law
from estimators.designs.making import make_design
from estimators.designs.protocol import Design
from estimators.designs.size_laws import is_semivalue
from estimators.errors import EstimatorError
from estimators.planning import Pilot, imagined_pair_error
from estimators.registry import value_method

MOST_ROWS = 512
"""Rows that a candidate is imagined with."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A design, as a job file has it."""

    words: str
    design: Design


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with the retrains that each value takes under it, in units of the fewest; infinite = not served."""

    candidate: Candidate
    retrains: Mapping[str, float]


def candidates(values: Sequence[str], n: int, seed: int) -> list[Candidate]:
    """Designs that may serve the values: of their laws of sizes alone, mixed and paired, Bernoulli, walks, one size."""
    asked = tuple(dict.fromkeys(value for value in values if is_semivalue(value, n)))
    laws = [serving_law(asked, n).serves] if asked and n > 2 else []
    laws += [((value, 1.0),) for value in asked if len(asked) > 1]
    found = [_candidate(name, n, seed, serves=law) for law in laws for name in ("paired", "sizes")]
    found += [_candidate(name, n, seed, probability=0.5) for name in ("paired", "bernoulli")]
    found += [_candidate("permutation", n, seed, order=order) for order in ("antithetic", "rotated")]
    if "ame" in values:
        found.append(_candidate("bernoulli", n, seed, probability=(0.2, 0.4, 0.6, 0.8)))
    if {"downsampling", "datamodel"} & set(values):
        found += [_candidate("uniform", n, seed, fraction=share) for share in (0.5, 0.7)]
    return [each for each in found if each is not None]


def ranked(pilot: Pilot, every: Sequence[Candidate], values: Sequence[str], *, draws: int) -> list[Ranked]:
    """The candidates, the one whose dearest value is cheapest first; those that serve fewer values last."""
    errors = {value: [_error(pilot, each.design, value, draws) for each in every] for value in values}
    best = {value: min(found) for value, found in errors.items()}
    rows = [
        Ranked(each, {value: (errors[value][place] / best[value]) ** 2 if best[value] else 1.0 for value in values})
        for place, each in enumerate(every)
    ]
    return sorted(rows, key=lambda row: (np.sum(np.isinf(list(row.retrains.values()))), _finite_dearest(row)))


def _finite_dearest(row: Ranked) -> float:
    return max((ratio for ratio in row.retrains.values() if np.isfinite(ratio)), default=np.inf)


def _error(pilot: Pilot, design: Design, value: str, draws: int) -> float:
    """The mean standard error of pairs; infinite where the design does not serve the value."""
    method = value_method(value)
    if draws < design.least_draws or method.accepts(design, draws):
        return np.inf
    found = imagined_pair_error(
        lambda ends: method.make(loss="", ends=ends, design=design), pilot, design, draws=draws, most=MOST_ROWS
    )
    return found if np.isfinite(found) else np.inf


def _candidate(name: str, n: int, seed: int, **said: Any) -> Candidate | None:
    try:
        design = make_design(name, n=n, seed=seed, **said)
    except EstimatorError:
        return None
    return Candidate(f"{{design: {name}, {', '.join(f'{key}: {_words(each)}' for key, each in said.items())}}}", design)


def _words(said: Any) -> str:
    if isinstance(said, tuple) and isinstance(said[0], tuple):
        return "{" + ", ".join(f"{value}: {share:.3g}" for value, share in said) + "}"
    return str(list(said)) if isinstance(said, tuple) else str(said)
