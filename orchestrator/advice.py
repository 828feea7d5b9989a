"""The cheapest design for all the values that a job asks for, in words."""

import math
from collections.abc import Sequence

from estimators.design_ranking import Candidate, Ranked, candidates, ranked
from estimators.methods.value_label import asked_label
from estimators.pilot_fields import fitted_pilot
from estimators.registry import value_method
from estimators.retrains import Retrains, joined
from orchestrator.loss_view import LossView, loss_view
from orchestrator.pilot import Forecast

SHOWN = 6
LEAST_ROWS = 16
"""Retrains of a pilot below which designs are not compared."""


def advice(values: Sequence[str], forecasts: Sequence[Forecast]) -> list[str]:
    """Designs that serve the values, by the retrains that they take for one error; the job's own campaigns among them.

    Empty where no value takes random subsets, where subsets are listed exactly, or where there is no pilot.
    """
    asked = _asked(values)
    n = forecasts[0].campaign.design.n
    seen = _widest(forecasts)
    if not asked or seen is None or any(each.campaign.design.draw_count == 2**n for each in forecasts):
        return []
    view, rows = seen
    own = [Candidate(each.campaign.name, each.campaign.design) for each in forecasts if _random(each)]
    every = [*candidates(asked, n, forecasts[0].campaign.seed), *own]
    draws = max(each.draws for each in forecasts)
    found = ranked(fitted_pilot(rows, view.ends()), every, asked, draws=draws)
    served = [value for value in asked if any(math.isfinite(row.retrains[value]) for row in found)]
    return _lines(found, served, {each.words for each in own}, len(rows.members)) if served else []


def _asked(values: Sequence[str]) -> tuple[str, ...]:
    """Values [n, n_test] of retrains, without what they are asked on."""
    labels = dict.fromkeys(asked_label(label).value for label in values)
    methods = {label: value_method(label) for label in labels}
    return tuple(label for label, method in methods.items() if not method.per_instance and not method.from_walks)


def _random(forecast: Forecast) -> bool:
    return forecast.campaign.design.draw_count is None and forecast.source is not None


def _widest(forecasts: Sequence[Forecast]) -> tuple[LossView, Retrains] | None:
    """The pilot whose subsets differ most in size: what it fits reaches farthest."""
    found = []
    for each in forecasts:
        if _random(each) and each.source is not None and each.pilot_draws >= LEAST_ROWS:
            view = loss_view(each.source, loss=None, of=None, over=None)
            rows = joined(list(view.retrains(0, each.pilot_draws)))
            found.append((float(rows.members.sum(axis=1).std()), view, rows))
    if not found:
        return None
    _, view, rows = max(found, key=lambda each: each[0])
    return view, rows


def _lines(found: Sequence[Ranked], values: Sequence[str], own: set[str], pilot: int) -> list[str]:
    shown = [row for place, row in enumerate(found) if place < SHOWN or row.candidate.words in own]
    width = max(len(row.candidate.words) for row in shown)
    return [
        *_named(found, list(values)),
        f"  retrains for the same error, in units of the fewest (from a pilot of {pilot}):",
        f"    {'design':<{width}} " + " ".join(f"{value:>14}" for value in values),
        *(
            f"    {row.candidate.words:<{width}} "
            + " ".join(f"{_times(row.retrains[value]):>{max(14, len(value))}}" for value in values)
            for row in shown
        ),
    ]


def _named(found: Sequence[Ranked], values: list[str]) -> list[str]:
    """The cheapest design for as many of the values as one serves, then for those left."""
    lines, best = list[str](), found[0]
    while values:
        served = [value for value in values if math.isfinite(best.retrains[value])]
        ties = [row.candidate.words for row in found if row.tie and not _unserved_and_dearest(row, served)[0]]
        lines.append(f"cheapest design for {' and '.join(served)}: {best.candidate.words}")
        if best is found[0] and ties:
            lines.append(f"  as cheap as far as this pilot can tell: {', '.join(ties)}")
        values = [value for value in values if value not in served]
        best = min(found, key=lambda row: _unserved_and_dearest(row, values))
    return lines


def _unserved_and_dearest(row: Ranked, values: Sequence[str]) -> tuple[int, float]:
    ratios = [row.retrains[value] for value in values]
    return sum(map(math.isinf, ratios)), max((each for each in ratios if math.isfinite(each)), default=math.inf)


def _times(ratio: float) -> str:
    return f"{ratio:.3g}" if math.isfinite(ratio) and ratio < 1e4 else "not served"
