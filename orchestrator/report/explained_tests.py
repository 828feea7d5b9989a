"""The section on test instances: the training instances that help and hurt the prediction of each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.influence import Influence
from orchestrator.report.contents import ReportInput
from orchestrator.report.phrases import interval, number, value_in_words
from orchestrator.report.shown import Instances, Shown

PARTNERS = {"pictures": 6, "rows": 4, "plain": 6}
OPEN_AT_FIRST = 3


@dataclass(frozen=True, slots=True)
class Partner:
    """A training instance with its influence on the test instance."""

    shown: Shown
    figure: str
    certain: bool


@dataclass(frozen=True, slots=True)
class MethodPartners:
    """The strongest proponents and opponents by one method; certain: how many of all n have a certain sign."""

    method: str
    certain: int
    proponents: tuple[Partner, ...]
    opponents: tuple[Partner, ...]


@dataclass(frozen=True, slots=True)
class ExplainedTest:
    """One test instance and what works on it."""

    shown: Shown
    loss: str
    methods: tuple[MethodPartners, ...]
    open_at_first: bool


def choose(test_losses: FloatArray | None, certain_counts: IntArray, count: int) -> list[int]:
    """The test instances shown: one half by the most certain influences, the rest by the highest loss.

    The first half are those with the most training instances of certain sign (at least one); then come, in order, those
    with the highest loss of the model trained on everything, or the next positions where no losses are given.
    """
    by_certain = np.argsort(-certain_counts, kind="stable")
    first = [int(j) for j in by_certain[: (count + 1) // 2] if certain_counts[j] > 0]
    if test_losses is None:
        rest = np.arange(len(certain_counts))
    else:
        rest = np.argsort(-np.nan_to_num(test_losses, nan=-np.inf), kind="stable")
    chosen = set(first)
    return (first + [int(j) for j in rest if int(j) not in chosen])[:count]


def explained_tests(contents: ReportInput, certain: list[BoolArray], instances: Instances) -> tuple[ExplainedTest, ...]:
    """The test instances chosen, with their partners by each influence shown. certain: [n, n_test] of each."""
    influences = contents.shown_influences()
    if not influences:
        return ()
    losses = contents.test_losses.get(contents.loss)
    chosen = choose(losses, _counts(influences, certain, contents.dataset.n_test), contents.test_instances)
    return tuple(
        ExplainedTest(
            shown=instances.test(j),
            loss="" if losses is None else number(float(losses[j])),
            methods=tuple(
                _partners(influence, pairs, j, instances) for influence, pairs in zip(influences, certain, strict=True)
            ),
            open_at_first=place < OPEN_AT_FIRST,
        )
        for place, j in enumerate(chosen)
    )


def _counts(influences: list[Influence], certain: list[BoolArray], n_test: int) -> IntArray:
    counts = np.zeros(n_test, dtype=np.int64)
    for influence, pairs in zip(influences, certain, strict=True):
        counts[influence.test_index] += pairs.sum(axis=0)
    return counts


def _partners(influence: Influence, certain: BoolArray, j: int, instances: Instances) -> MethodPartners:
    column = np.flatnonzero(influence.test_index == j)
    if not column.size:
        return MethodPartners(value_in_words(influence.value, influence.loss), 0, (), ())
    at, count = int(column[0]), PARTNERS[instances.kind]
    helping, hurting = influence.proponents(at, count), influence.opponents(at, count)
    return MethodPartners(
        method=value_in_words(influence.value, influence.loss),
        certain=int(certain[:, at].sum()),
        proponents=_listed(helping[helping["influence"] > 0], instances),
        opponents=_listed(hurting[hurting["influence"] < 0], instances),
    )


def _listed(rows: pd.DataFrame, instances: Instances) -> tuple[Partner, ...]:
    return tuple(
        Partner(instances.train(int(player)), interval(float(value), float(half)), bool(certain))
        for player, value, half, certain in zip(
            rows["train_index"], rows["influence"], rows["half_width"], rows["certain"], strict=True
        )
    )
