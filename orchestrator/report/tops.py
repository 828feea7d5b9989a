"""The top lists as CSV: what opens as a table in MLflow's pages and in a spreadsheet.

Cells that a spreadsheet would run as a formula carry an apostrophe.
"""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

from estimators.arrays import IntArray
from estimators.confidence import half_widths
from estimators.influence import Influence, InstanceValues
from orchestrator.export import safe_cell
from orchestrator.report.certainty import certain_pairs
from orchestrator.report.contents import ReportInput, is_on_tests
from orchestrator.report.pairs import strongest
from orchestrator.report.phrases import clean
from orchestrator.report.shown import player_names

ENDS = 100
PAIRS = 200


def top_lists(contents: ReportInput) -> dict[str, bytes]:
    """File names and contents: `top/<value>.csv` (the highest and lowest data values), `top/<value>-pairs.csv`."""
    files: dict[str, bytes] = {}
    for influence, campaign in contents.named_influences():
        stem = _stem(influence, campaign)
        files[f"top/{stem}.csv"] = _csv(_ends(influence.data_values(), contents))
        if is_on_tests(influence):
            files[f"top/{stem}-pairs.csv"] = _csv(_pairs(influence, contents))
    for found in contents.gradients:
        if found.mean is not None:
            files[f"top/{_stem(found.mean, '')}.csv"] = _csv(_ends(found.mean, contents))
        if found.influence is not None:
            files[f"top/{_stem(found.influence, '')}-pairs.csv"] = _csv(_pairs(found.influence, contents))
    for values, campaign in contents.named_instance_values():
        files[f"top/{_stem(values, campaign)}.csv"] = _csv(_ends(values, contents))
    return files


def _stem(values: Influence | InstanceValues, campaign: str) -> str:
    """The value's name, with its loss where that is a function or an average, and with the campaign."""
    asked = "" if values.loss.isidentifier() else values.loss
    named = "-".join(filter(None, (values.value, asked, campaign)))
    return "".join(character if character.isalnum() or character in "._-" else "_" for character in named)


def _ends(values: InstanceValues, contents: ReportInput) -> pd.DataFrame:
    known = np.flatnonzero(np.isfinite(values.values))
    order = known[np.argsort(-values.values[known], kind="stable")]
    chosen = order if len(order) <= 2 * ENDS else np.concatenate([order[:ENDS], order[-ENDS:]])
    ranks = np.arange(1, len(order) + 1)
    players = values.train_index[chosen]
    return pd.DataFrame(
        {
            "rank": ranks if len(chosen) == len(order) else np.concatenate([ranks[:ENDS], ranks[-ENDS:]]),
            "train_index": players,
            "name": _named(player_names(contents), players),
            "label": _labels(contents, players),
            values.value: values.values[chosen],
            "standard_error": values.standard_errors[chosen],
            "half_width_95": values.half_widths()[chosen],
            "certain": values.certain()[chosen],
        }
    )


def _pairs(influence: Influence, contents: ReportInput) -> pd.DataFrame:
    certain = certain_pairs(influence)
    places = strongest(influence.values, certain, count=PAIRS)
    rows = np.array([i for i, _ in places], dtype=np.int64)
    columns = np.array([j for _, j in places], dtype=np.int64)
    train, test = influence.train_index[rows], influence.test_index[columns]
    errors, degrees = influence.standard_errors[rows, columns], influence.degrees_of_freedom[rows, columns]
    return pd.DataFrame(
        {
            "train_index": train,
            "train_name": _named(player_names(contents), train),
            "train_label": _labels(contents, train),
            "test_index": test,
            "test_name": _named(contents.test_names, test),
            "test_label": [_label(contents, contents.dataset.test_labels[j]) for j in test],
            "influence": influence.values[rows, columns],
            "standard_error": errors,
            "half_width_95": half_widths(errors, degrees),
            "certain": certain[rows, columns],
        }
    )


def _named(names: Sequence[str], places: IntArray) -> list[str]:
    return [safe_cell(clean(str(names[place]))) if place < len(names) else str(place) for place in places]


def _labels(contents: ReportInput, players: IntArray) -> list[str]:
    data = contents.dataset
    if data.groups is None:
        return [_label(contents, data.train_labels[player]) for player in players]
    _, first = np.unique(data.groups, return_index=True)
    return [_label(contents, data.train_labels[first[player]]) for player in players]


def _label(contents: ReportInput, label: float) -> str:
    if contents.dataset.task == "regression":
        return f"{float(label):.6g}"
    return safe_cell(clean(contents.dataset.classes[int(label)]))


def _csv(frame: pd.DataFrame) -> bytes:
    stream = io.StringIO()
    frame.to_csv(stream, index=False, lineterminator="\n")
    return stream.getvalue().encode("utf-8", "replace")
