"""The section on agreement: do the values rank the training instances alike, and would they again?"""

import math
from dataclasses import dataclass

from estimators.arrays import FloatArray
from estimators.evaluation import rank_stability
from orchestrator.report.contents import ReportInput
from orchestrator.report.phrases import fixed, value_in_words

MOST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Agreement:
    """names: of the rankings. cells: [len(names)][len(names)], rank correlations as texts; "" on and over the diagonal.

    ceiling: for each ranking, the correlation between its own two halves of the retrains, where known.
    """

    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    ceiling: tuple[str, ...]


def agreement(contents: ReportInput) -> Agreement | None:
    """Spearman correlations between all rankings of the training instances, or None where there is only one.

    A value on the test loss ranks by worth, memorization and held-out loss by suspicion: they correlate negatively
    where suspicious instances are the harmful ones.
    """
    rankings = _rankings(contents)[:MOST_SHOWN]
    if len(rankings) < 2:
        return None
    cells = tuple(
        tuple(
            fixed(rank_stability(mine, other), 2) if place < row else "" for place, (_, _, other) in enumerate(rankings)
        )
        for row, (_, _, mine) in enumerate(rankings)
    )
    halves = _halves(contents)
    return Agreement(
        names=tuple(name for name, _, _ in rankings),
        cells=cells,
        ceiling=tuple(halves.get(key, "") for _, key, _ in rankings),
    )


_Key = tuple[str, str, str]


def _rankings(contents: ReportInput) -> list[tuple[str, _Key, FloatArray]]:
    influences = [(each.data_values(), campaign) for each, campaign in contents.named_influences()]
    gradients = [(each.mean, "") for each in contents.gradients if each.mean is not None]
    every = [*influences, *contents.named_instance_values(), *gradients]
    names = [value_in_words(values.value, values.loss) for values, _ in every]
    return [
        (_named(name, campaign, names.count(name) > 1), (values.value, values.loss, campaign), values.values)
        for name, (values, campaign) in zip(names, every, strict=True)
    ]


def _named(name: str, campaign: str, twice: bool) -> str:  # noqa: FBT001 - a fact
    return f"{name} ({campaign})" if twice and campaign else name


def _halves(contents: ReportInput) -> dict[_Key, str]:
    """The last known rank stability of each value of each campaign."""
    known = {
        (curve.value, curve.loss, curve.campaign): [each for each in curve.rank_stability if not math.isnan(each)]
        for curve in contents.convergence
    }
    return {key: fixed(values[-1], 2) for key, values in known.items() if values}
