"""The section on label errors: who is suspicious by which score, and how well each score finds the known errors."""

import math
from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray
from estimators.evaluation.label_errors import LabelErrorDetection
from estimators.influence import InstanceValues
from orchestrator.report.axes import horizontal, vertical
from orchestrator.report.charts import Chart, Dot, Line, Series, compared, histogram, lines
from orchestrator.report.contents import ReportInput
from orchestrator.report.names import in_words
from orchestrator.report.phrases import UNKNOWN, count, interval, loss_in_words, number, percent
from orchestrator.report.shown import Instances, Shown
from orchestrator.report.suspicion import Score, detection, errors_met

SUSPECTS = {"pictures": 24, "rows": 15, "plain": 20}
POINTS = 101
FEWEST_COMPARED = 3
NORMAL_95 = 1.96
CURVES = ("one", "two", "three", "four")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A score in the table of scores, numbered from 1."""

    place: int
    name: str
    loss: str
    campaign: str
    self_score: bool
    certain: str
    detection: LabelErrorDetection | None
    auroc: str
    precision: str
    recall: str


@dataclass(frozen=True, slots=True)
class Suspect:
    """A training instance with its score."""

    shown: Shown
    figure: str
    certain: bool


@dataclass(frozen=True, slots=True)
class SuspectList:
    """The most suspicious instances by one score, and how the score is distributed. error: how figures are read."""

    name: str
    loss: str
    error: str
    auroc: str
    suspects: tuple[Suspect, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """The whole section."""

    known: int | None
    share: str
    rows: tuple[ScoreRow, ...]
    lists: tuple[SuspectList, ...]
    charts: tuple[Chart, ...]


def label_errors(contents: ReportInput, scores: list[Score], instances: Instances) -> LabelErrors:
    """The section's figures, tables and pictures."""
    known = contents.known_label_errors
    rows = tuple(_row(place, score, known, contents.label_error_share) for place, score in enumerate(scores, start=1))
    charts = [] if known is None else [_areas(rows), *_effort_charts(_shown(contents, scores), known)]
    return LabelErrors(
        known=None if known is None else int(np.count_nonzero(known)),
        share=percent(contents.label_error_share),
        rows=rows,
        lists=tuple(
            _suspects(score, instances, known, contents.label_error_share) for score in shown_self_scores(scores)
        ),
        charts=tuple(chart for chart in charts if chart is not None),
    )


def shown_self_scores(scores: list[Score]) -> list[Score]:
    """The self-scores shown in pictures: each method once, on the first loss it was computed for."""
    first: dict[str, Score] = {}
    for score in scores:
        if score.self_score:
            first.setdefault(score.values.value, score)
    return list(first.values())


def score_name(score: Score) -> str:
    """How people read the score: "memorization", "Banzhaf value on the mean test loss"."""
    name = in_words(score.values.value)
    if not score.values.loss.isidentifier():
        return f"{name} on {score.values.loss}"
    return name if score.self_score else f"{name} on the mean test loss"


def auroc_words(found: LabelErrorDetection) -> str:
    """The area under the ROC curve to three places with its 95 % half width: "0.981 ± 0.006"."""
    if not math.isfinite(found.auroc):
        return UNKNOWN
    area = "above 0.999" if 0.9995 <= found.auroc < 1.0 else f"{found.auroc:.3f}"
    half = NORMAL_95 * found.auroc_standard_error
    return f"{area} ± {max(half, 0.001):.3f}" if half > 0.0 else area


def _row(place: int, score: Score, known: BoolArray | None, share: float) -> ScoreRow:
    found = None if known is None else detection(score, known, share)
    return ScoreRow(
        place=place,
        name=score_name(score),
        loss=loss_in_words(score.values.loss),
        campaign=score.campaign,
        self_score=score.self_score,
        certain=percent(float(np.mean(score.values.certain()))) if score.signed else "",
        detection=found,
        auroc=auroc_words(found) if found else "",
        precision=percent(found.precision) if found else "",
        recall=percent(found.recall) if found else "",
    )


def _suspects(score: Score, instances: Instances, known: BoolArray | None, share: float) -> SuspectList:
    top = [int(player) for player in score.order[: SUSPECTS[instances.kind]] if np.isfinite(score.suspicion[player])]
    values, certain, half = score.values, score.values.certain(), score.values.half_widths()
    at = {int(player): place for place, player in enumerate(values.train_index)}
    suspects = [Suspect(instances.train(p), _figure(values, half, at[p]), bool(certain[at[p]])) for p in top]
    area = "" if known is None else auroc_words(detection(score, known, share))
    chart = _distribution(score, known)
    charts = () if chart is None else (chart,)
    error = " ± 95 %" if values.retrains else ""
    return SuspectList(score_name(score), loss_in_words(values.loss), error, area, tuple(suspects), charts)


def _figure(values: InstanceValues, half: FloatArray, place: int) -> str:
    """A value with its interval; alone where it comes from gradients, which have no sampling error."""
    value = float(values.values[place])
    return interval(value, float(half[place])) if values.retrains else number(value)


def _shown(contents: ReportInput, scores: list[Score]) -> list[Score]:
    """The scores whose curves are drawn: self-scores and values on the loss shown, as many as there are colours."""
    means = [score for score in scores if not score.self_score and score.values.loss == contents.loss]
    return (shown_self_scores(scores) + means)[: len(CURVES)]


def _effort_charts(scores: list[Score], known: BoolArray) -> list[Chart]:
    """Errors found, and the share of errors among the reviewed, against the share of the training set reviewed."""
    n, errors = len(known), int(np.count_nonzero(known))
    if not scores or not errors:
        return []
    reviewed = np.unique(np.linspace(1, n, POINTS).round().astype(np.int64))
    effort = [float(amount) / n for amount in reviewed]
    hits = [errors_met(score, known)[reviewed - 1] for score in scores]
    series = [Series(score_name(score), style) for score, style in zip(scores, CURVES, strict=False)]
    x, y = horizontal("training set reviewed", [0.0, 1.0], shares=True), vertical("", [0.0, 1.0], shares=True)
    recall = [(s, [0.0, *effort], [0.0, *(hit / errors)]) for s, hit in zip(series, hits, strict=True)]
    precision = [(s, effort, list(hit / reviewed)) for s, hit in zip(series, hits, strict=True)]
    chance = (Series("in random order", "chance"), [0.0, 1.0], [0.0, 1.0])
    base = (Series("in random order", "chance"), [0.0, 1.0], [errors / n, errors / n])
    charts = [
        lines("Known errors found (recall)", x, y, [*recall, chance], caption="Reviewing the most suspicious first."),
        lines(
            "Errors among the reviewed (precision)",
            x,
            y,
            [*precision, base],
            caption=f"{count(errors)} of {count(n)} are errors.",
        ),
    ]
    return [chart for chart in charts if chart is not None]


def _areas(rows: tuple[ScoreRow, ...]) -> Chart | None:
    """One dot a score: how well it ranks the known errors, with its 95 % interval. From three scores on."""
    found = [(row, row.detection) for row in rows if row.detection is not None and math.isfinite(row.detection.auroc)]
    if len(found) < FEWEST_COMPARED:
        return None
    spans = [(each.auroc, NORMAL_95 * each.auroc_standard_error) for _, each in found]
    x = horizontal("score, numbered as in the table", [0.5, len(rows) + 0.5], tight=True)
    ends = [(max(area - half, 0.0), min(area + half, 1.0)) for area, half in spans]
    y = vertical("AUROC", [0.5, *(end for pair in ends for end in pair)])
    dots = tuple(
        Dot(
            x.place(row.place),
            y.place(area),
            y.place(low),
            y.place(high),
            "pro" if row.self_score else "mute",
        )
        for (row, _), (area, _), (low, high) in zip(found, spans, ends, strict=True)
    )
    legend = (Series("an instance's own loss", "pro"), Series("the mean test loss", "mute"))
    level = (Line(f"{x.start},{y.place(0.5)} {x.end},{y.place(0.5)}", "chance"),)
    caption = "Area under the ROC curve with its 95 % interval; the line is a random order."
    return Chart("Known errors ranked first", x, y, dots=dots, lines=level, legend=legend, caption=caption)


def _distribution(score: Score, known: BoolArray | None) -> Chart | None:
    title = f"Distribution of {score_name(score)}"
    unit = f"{score_name(score)} ({loss_in_words(score.values.loss)})"
    if known is None:
        return histogram(title, unit, [(Series("all training instances", "pro"), score.suspicion)])
    groups = [
        (Series("no known error", "mute"), score.suspicion[~known]),
        (Series("known label error", "con"), score.suspicion[known]),
    ]
    return compared(title, unit, groups)
