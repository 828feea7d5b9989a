"""What stands beside the report in MLflow: pictures, top lists, figures; whole, safe, and equal to the values."""

import csv
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from report_material import N, dataset, influence, instance_values, report_input
from test_report_page import HOSTILE

from orchestrator.report.headline_metrics import headline_metrics
from orchestrator.report.picture_files import picture_files
from orchestrator.report.suspicion import detection, scores_of
from orchestrator.report.tops import ENDS, PAIRS, top_lists

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"))))


def test_every_chart_is_a_picture_that_loads_nothing_and_runs_nothing():
    files = picture_files(report_input(text="<script>alert(1)</script>"))
    assert len(files) > 4
    assert len(set(files)) == len(files)
    for name, content in files.items():
        root = ET.fromstring(content)
        assert root.tag == f"{SVG}svg", name
        elements = [element.tag.removeprefix(SVG) for element in root.iter()]
        assert set(elements) <= {"svg", "style", "g", "text", "line", "rect", "circle", "polyline"}
        assert not [a for element in root.iter() for a in element.attrib if a.startswith("on") or "href" in a]
        assert "bar" in content.decode() or "line" in content.decode()


def test_the_ends_of_a_list_are_the_ends_of_the_values():
    many = influence(n=500, n_test=8)
    data = dataset(n=500, n_test=8)
    contents = report_input(data=data, influences=[many], instance_values=[], influence_campaigns=["first"])
    rows = rows_of(top_lists(contents)["top/banzhaf-first.csv"])
    order = np.argsort(-many.mean.values, kind="stable")
    assert [int(row["train_index"]) for row in rows] == [*order[:ENDS], *order[-ENDS:]]
    assert [int(row["rank"]) for row in rows] == [*range(1, ENDS + 1), *range(501 - ENDS, 501)]
    assert float(rows[0]["banzhaf"]) == many.mean.values.max()


def test_pairs_are_the_strongest_with_their_errors():
    contents = report_input(influences=[influence(strong=2)], influence_campaigns=[""])
    rows = rows_of(top_lists(contents)["top/banzhaf-pairs.csv"])
    assert 0 < len(rows) <= PAIRS
    sizes = [abs(float(row["influence"])) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert {row["standard_error"] for row in rows} == {"1.0"}


@pytest.mark.parametrize("text", [*HOSTILE, '=HYPERLINK("x")', "+1", "-1", "@x"])
def test_no_name_becomes_a_formula_a_row_or_a_path(text):
    contents = report_input(text=text, data=dataset(text=text))
    files = top_lists(contents)
    for name, content in files.items():
        assert all(character.isalnum() or character in "._-/" for character in name)
        assert ".." not in name
        rows = rows_of(content)
        assert 0 < len(rows) <= max(2 * ENDS, PAIRS)
        for row in rows:
            for column in ("name", "label", "train_name", "test_name", "train_label", "test_label"):
                assert not row.get(column, "").startswith(("=", "+", "-", "@", "\t"))


def test_metrics_are_the_reports_figures_and_what_is_not_known_is_left_out():
    unknown = instance_values("held_out_loss", np.full(N, np.nan))
    contents = report_input(
        instance_values=[instance_values("memorization", np.arange(float(N))), unknown],
        instance_value_campaigns=["", ""],
        influence_campaigns=[""],
    )
    metrics = headline_metrics(contents)
    score = next(each for each in scores_of(contents) if each.values.value == "memorization")
    assert metrics["label_errors/memorization/auroc"] == detection(score, contents.known_label_errors, 0.1).auroc
    assert metrics["mean_standard_error/banzhaf/cross_entropy"] == 1.0
    assert metrics["retrains"] == 99
    assert all(np.isfinite(value) for value in metrics.values())
