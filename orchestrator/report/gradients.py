"""The section on gradient methods: what each estimates, what its solver says of itself, and what it found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimators.arrays import FloatArray
from estimators.evaluation import rank_stability
from estimators.influence import InstanceValues
from orchestrator.gradients.values import GradientValues
from orchestrator.report.axes import horizontal, vertical
from orchestrator.report.charts import Chart, Dot, Series, histogram
from orchestrator.report.contents import ReportInput
from orchestrator.report.explained_tests import PARTNERS, MethodPartners, Partner, choose
from orchestrator.report.names import in_words
from orchestrator.report.phrases import count, fixed, number
from orchestrator.report.shown import Instances, Shown

TESTS = 4
MOST_DRAWN = 6
POINTS = 400


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One entry of the job's `gradients`; texts, "" where there is nothing to say."""

    name: str
    title: str
    loss: str
    estimates: str
    damping: str
    residual: str
    tolerance: str
    stationarity: str
    formula: str
    source: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestOfGradients:
    """One test instance with the strongest training instances by each method."""

    shown: Shown
    methods: tuple[MethodPartners, ...]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The sum of a method's values over a group, on the mean test loss."""

    method: str
    group: str
    influence: str


@dataclass(frozen=True, slots=True)
class GradientSection:
    """The whole section."""

    rows: tuple[MethodRow, ...]
    tests: tuple[TestOfGradients, ...]
    groups: tuple[GroupRow, ...]
    charts: tuple[Chart, ...]


def gradient_section(contents: ReportInput, instances: Instances) -> GradientSection | None:
    """The section, None where the job has no gradient methods."""
    if not contents.gradients:
        return None
    return GradientSection(
        rows=tuple(_row(found) for found in contents.gradients),
        tests=_tests(contents, instances),
        groups=tuple(row for found in contents.gradients for row in _groups(found)),
        charts=gradient_charts(contents),
    )


def gradient_charts(contents: ReportInput) -> tuple[Chart, ...]:
    """Of each method the distribution of its data values, and these beside the first value of retrains."""
    charts: list[Chart | None] = []
    beside = contents.shown_influences()[:1]
    for found in contents.gradients[:MOST_DRAWN]:
        if found.mean is None:
            continue
        unit = f"data value by {in_words(found.spec.label)} ({in_words(found.loss)})"
        groups = [(Series("all training instances", "pro"), found.mean.values)]
        charts.append(histogram(f"{in_words(found.spec.label)}: distribution", unit, groups))
        charts += [_beside(found.mean, influence.data_values()) for influence in beside]
    return tuple(chart for chart in charts if chart is not None)


def _row(found: GradientValues) -> MethodRow:
    method, facts = found.method, found.facts
    estimates = "a difference of losses" if method.scale == "loss" else "a ranking only"
    return MethodRow(
        name=in_words(found.spec.label),
        title=method.title,
        loss=in_words(found.loss),
        estimates=estimates,
        damping=_fact(facts.get("damping")),
        residual=_fact(facts.get("residual")),
        tolerance=_fact(facts.get("tolerance", found.spec.tolerance if "residual" in facts else None)),
        stationarity=_fact(facts.get("stationarity")),
        formula=method.formula,
        source=", ".join(filter(None, (method.paper, method.equation))),
        warnings=found.warnings,
        notes=tuple(note for note in found.notes if not note.startswith("warning: ")),
    )


def _fact(value: float | None) -> str:
    return "" if value is None else number(value)


def _tests(contents: ReportInput, instances: Instances) -> tuple[TestOfGradients, ...]:
    n_test = contents.dataset.n_test
    losses = contents.test_losses.get(contents.gradients[0].loss)
    chosen = choose(losses, np.zeros(n_test, dtype=np.int64), min(TESTS, contents.test_instances))
    sided = [found for found in contents.gradients if found.influence is not None or found.proponents is not None]
    if not sided:
        return ()
    return tuple(
        TestOfGradients(instances.test(j), tuple(_partners(found, j, instances) for found in sided)) for j in chosen
    )


def _partners(found: GradientValues, j: int, instances: Instances) -> MethodPartners:
    shown = PARTNERS[instances.kind]
    if found.influence is not None:
        column = np.nan_to_num(found.influence.values[:, j])
        order = np.argsort(-column, kind="stable")
        helping, hurting = order[:shown], order[::-1][:shown]
        sides = [(places, column[places]) for places in (helping, hurting)]
    else:
        assert found.proponents is not None
        assert found.opponents is not None
        sides = [(top.indices[:shown, j], top.values[:shown, j]) for top in (found.proponents, found.opponents)]
    listed = [
        tuple(
            Partner(instances.train(int(place)), number(float(value)), certain=False)
            for place, value in zip(places, values, strict=True)
            if sign * value > 0
        )
        for sign, (places, values) in zip((1.0, -1.0), sides, strict=True)
    ]
    return MethodPartners(in_words(found.spec.label), 0, listed[0], listed[1])


def _groups(found: GradientValues) -> Sequence[GroupRow]:
    if found.groups is None:
        return ()
    means = found.groups.mean(axis=1)
    order = np.argsort(-means, kind="stable")
    shown = order if len(order) <= 2 * TESTS else np.concatenate([order[:TESTS], order[-TESTS:]])
    name = in_words(found.spec.label)
    return [GroupRow(name, str(found.group_names[g]), number(float(means[g]))) for g in shown]


def _beside(gradients: InstanceValues, retrains: InstanceValues) -> Chart | None:
    """One dot an instance: data value by retraining across, by gradients up."""
    across, up = retrains.values, gradients.values
    known = np.flatnonzero(np.isfinite(across) & np.isfinite(up))
    if len(known) < 2:
        return None
    agreement = rank_stability(across[known], up[known])
    drawn = known[np.linspace(0, len(known) - 1, min(len(known), POINTS)).round().astype(np.int64)]
    x = horizontal(f"data value by {in_words(retrains.value)} ({in_words(retrains.loss)})", _ends(across[drawn]))
    y = vertical(f"by {in_words(gradients.value)}", _ends(up[drawn]))
    dots = tuple(_dot(x.place(across[i]), y.place(up[i]), across[i] * up[i]) for i in drawn)
    legend = (Series("of one sign", "pro"), Series("of two signs", "con"))
    title = f"{in_words(gradients.value)} beside {in_words(retrains.value)}"
    caption = f"{count(len(known))} training instances, rank correlation {fixed(agreement, 2)}."
    return Chart(title, x, y, dots=dots, legend=legend, caption=caption)


def _dot(x: float, y: float, product: float) -> Dot:
    return Dot(x, y, y, y, "pro" if product >= 0 else "con")


def _ends(values: FloatArray) -> list[float]:
    return [float(values.min()), float(values.max())]
