"""The section on faithfulness: do the values predict retrains that they have not seen?"""

from collections import Counter
from dataclasses import dataclass

from orchestrator.evaluation.record import Evaluation, Judged, RemovalPoint, Score
from orchestrator.report.axes import horizontal, vertical
from orchestrator.report.charts import Chart, Dot, Line, Series, lines
from orchestrator.report.contents import ReportInput
from orchestrator.report.names import in_words
from orchestrator.report.phrases import UNKNOWN, count, fixed

NORMAL_95 = 1.96
MOST_DRAWN = 40
CURVES = ("one", "two", "three", "four")


@dataclass(frozen=True, slots=True)
class FaithfulnessRow:
    """One estimator: figures as texts, "" where it has none; in the order of `Faithfulness.references`."""

    place: int
    name: str
    source: str
    scale: str
    datamodeling: str
    better_than: str
    label_errors: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """The whole section."""

    subsets: str
    sizes: str
    campaign: str
    loss: str
    ceiling: str
    ceiling_source: str
    references: tuple[str, ...]
    rows: tuple[FaithfulnessRow, ...]
    orders: tuple[str, ...]
    notes: tuple[str, ...]
    charts: tuple[Chart, ...]


def faithfulness(contents: ReportInput) -> Faithfulness | None:
    """The section, None where the job was not evaluated."""
    found = contents.evaluation
    if found is None:
        return None
    references = tuple(dict.fromkeys(name for each in found.estimators for name in each.references))
    ordered = sorted(found.estimators, key=_rank)
    charts = (_scores(found, ordered), _removal(found.removal))
    worse = Counter(each.better for each in found.differences)
    same = found.smallest == found.largest
    return Faithfulness(
        subsets=count(found.subsets),
        sizes=count(found.smallest) if same else f"{count(found.smallest)} to {count(found.largest)}",
        campaign=found.campaign,
        loss=in_words(found.loss),
        ceiling=UNKNOWN if found.ceiling is None else fixed(found.ceiling, 3),
        ceiling_source=found.ceiling_source,
        references=tuple(in_words(name) for name in references),
        rows=tuple(_row(place, each, references, worse) for place, each in enumerate(ordered, start=1)),
        orders=tuple(
            f"{in_words(each.better)} predicts better than {in_words(each.worse)}, by {fixed(each.difference, 3)} ± "
            f"{fixed(NORMAL_95 * each.standard_error, 3)}"
            for each in found.differences
        ),
        notes=(*found.notes, *(f"{in_words(each.name)}: {note}" for each in ordered for note in each.notes)),
        charts=tuple(chart for chart in charts if chart is not None),
    )


def _rank(judged: Judged) -> float:
    return 2.0 if judged.datamodeling.value is None else -judged.datamodeling.value


def _row(place: int, judged: Judged, references: tuple[str, ...], worse: Counter[str]) -> FaithfulnessRow:
    return FaithfulnessRow(
        place=place,
        name=in_words(judged.name),
        source=judged.source,
        scale="differences of losses" if judged.scale == "loss" else "ranks only",
        datamodeling=_figure(judged.datamodeling),
        better_than=count(worse[judged.name]) if worse[judged.name] else "",
        label_errors=_figure(judged.label_errors),
        references=tuple(_figure(judged.references.get(name, Score())) for name in references),
    )


def _figure(score: Score) -> str:
    if score.value is None:
        return ""
    half = UNKNOWN if score.standard_error is None else fixed(NORMAL_95 * score.standard_error, 3)
    return f"{fixed(score.value, 3)} ± {half}"


def _scores(found: Evaluation, ordered: list[Judged]) -> Chart | None:
    """One dot an estimator with its 95 % interval, best first, and the ceiling as a line."""
    known = [(place, each.datamodeling) for place, each in enumerate(ordered, start=1)][:MOST_DRAWN]
    drawn = [
        (place, score.value, NORMAL_95 * (score.standard_error or 0.0))
        for place, score in known
        if score.value is not None
    ]
    if not drawn:
        return None
    ceiling = found.ceiling
    ends = [end for _, value, half in drawn for end in (value - half, value + half)]
    x = horizontal("estimator, numbered as in the table", [0.5, len(drawn) + 0.5], tight=True)
    y = vertical("linear datamodeling score", [0.0, *ends, *([] if ceiling is None else [ceiling])])
    dots = tuple(
        Dot(x.place(place), y.place(value), y.place(value - half), y.place(value + half), "pro")
        for place, value, half in drawn
    )
    legend = [Series("score with its 95 % interval", "pro")]
    level: tuple[Line, ...] = ()
    if ceiling is not None:
        level = (Line(f"{x.start},{y.place(ceiling)} {x.end},{y.place(ceiling)}", "chance"),)
        legend.append(Series("noise ceiling", "chance"))
    caption = f"On {count(found.subsets)} subsets held out."
    return Chart("Prediction of held-out retrains", x, y, dots=dots, lines=level, legend=tuple(legend), caption=caption)


def _removal(points: tuple[RemovalPoint, ...]) -> Chart | None:
    """The rise of the mean test loss against the share removed, one curve an order."""
    orders = list(dict.fromkeys(point.order for point in points))
    if not orders:
        return None
    named = [name for name in orders if name != "random"][: len(CURVES)]
    styles = dict(zip(named, CURVES, strict=False)) | {"random": "chance"}
    x = horizontal("share of the training set removed", [0.0, *(point.share for point in points)], shares=True)
    y = vertical("rise of the mean test loss", [0.0, *(point.rise for point in points)])
    curves = [
        (
            Series(in_words(name), style),
            [0.0, *(point.share for point in points if point.order == name)],
            [0.0, *(point.rise for point in points if point.order == name)],
        )
        for name, style in styles.items()
        if name in orders
    ]
    caption = "Retrained without the instances of the highest data values."
    return lines("Removal by retraining", x, y, curves, caption=caption)
