"""Which design serves all the values asked for with the fewest retrains: laws of sizes, mixtures, pairs and walks.

Each candidate is carried out in imagination on the losses that a pilot fits (`planning`), through each value's own
aggregator, so that what pairs do for a regression, or walks for marginals, is in the figure; that no formula by sizes
has. Squared errors fall nearly as 1 / K, so a ratio of squared errors is one of retrains.

Candidates are compared at the same settings of the field: how much the ratio of their errors differs from setting to
setting is its doubt, and those whose ratio is within two of its standard deviations of 1 are ties.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from estimators.arrays import FloatArray
from estimators.best_design import serving_law
from estimators.designs.making import make_design
from estimators.designs.protocol import Design
from estimators.designs.size_laws import is_semivalue
from estimators.errors import EstimatorError
from estimators.imagination import imagined_logs
from estimators.pilot_fields import SETTINGS, Pilot
from estimators.registry import value_method

MOST_ROWS = 512
MOST_ROWS_IN_DOUBT = 192
"""Rows that a candidate is imagined with, at the best setting and at those that tell the doubt."""

NEARLY = np.log(1.1)
"""A simpler design is named first where its error is at most 10 % more and the pilot cannot tell the two apart."""

PLAINNESS = ("bernoulli", "uniform", "sizes", "paired", "permutation")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A design, as a job file has it. plainness: its place from the simplest on; a job's own need no change, 0."""

    words: str
    design: Design
    plainness: int = 0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with the retrains that each value takes under it, in units of the fewest; infinite = not served.

    tie: the pilot cannot tell it from the first.
    """

    candidate: Candidate
    retrains: Mapping[str, float]
    tie: bool = False


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
    """The candidates, the one whose dearest value is cheapest first; those that serve fewer values last.

    Of ties whose errors are nearly the same the simplest comes first.
    """
    logs = {value: np.array([_logs(pilot, each.design, value, draws) for each in every]) for value in values}
    above = {value: found - found.mean(axis=1).min() for value, found in logs.items() if np.isfinite(found).any()}
    rows = [
        Ranked(each, {value: _retrains(above.get(value), place) for value in values})
        for place, each in enumerate(every)
    ]
    dearest = [_dearest([found[place] for found in above.values()]) for place in range(len(every))]
    unserved = [sum(map(np.isinf, row.retrains.values())) for row in rows]
    order = sorted(range(len(every)), key=lambda place: (unserved[place], dearest[place].mean()))
    gaps = {place: dearest[place] - dearest[order[0]] for place in order if unserved[place] == unserved[order[0]]}
    ties = [place for place, gap in gaps.items() if np.isfinite(gap).all() and gap.mean() <= 2.0 * gap.std()]
    near = [place for place in ties if gaps[place].mean() <= NEARLY] or order[:1]
    first = min(near, key=lambda place: (every[place].plainness, order.index(place)))
    order = [first, *(place for place in order if place != first)]
    return [replace(rows[place], tie=place in ties and place != first) for place in order]


def _retrains(above: FloatArray | None, place: int) -> float:
    return float("inf") if above is None else float(np.exp(2.0 * above[place].mean()))


def _dearest(above: Sequence[FloatArray]) -> FloatArray:
    """At each setting the most by which the log of a value's error is above that value's least; of those served."""
    served = [each for each in above if np.isfinite(each).all()]
    return np.max(served, axis=0) if served else np.full(SETTINGS, np.inf)


def _logs(pilot: Pilot, design: Design, value: str, draws: int) -> FloatArray:
    """Logs [settings] of the mean standard error of pairs; infinite where the design does not serve the value."""
    method, unserved = value_method(value), np.full(SETTINGS, np.inf)
    if draws < design.least_draws or method.accepts(design, draws):
        return unserved
    found = imagined_logs(
        lambda ends: method.make(loss="", ends=ends, design=design),
        pilot,
        design,
        draws=draws,
        most=MOST_ROWS,
        doubt=MOST_ROWS_IN_DOUBT,
    )[:, 0]
    return found if np.isfinite(found).all() else unserved


def _candidate(name: str, n: int, seed: int, **said: Any) -> Candidate | None:
    try:
        design = make_design(name, n=n, seed=seed, **said)
    except EstimatorError:
        return None
    words = f"{{design: {name}, {', '.join(f'{key}: {_words(each)}' for key, each in said.items())}}}"
    return Candidate(words, design, 1 + PLAINNESS.index(name))


def _words(said: Any) -> str:
    if isinstance(said, tuple) and isinstance(said[0], tuple):
        return "{" + ", ".join(f"{value}: {share:.3g}" for value, share in said) + "}"
    return str(list(said)) if isinstance(said, tuple) else str(said)
