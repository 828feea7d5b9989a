"""What a notebook shows of an influence: its ends, escaped."""

import dataclasses
import re

import numpy as np

from estimators.influence import Influence, InstanceValues


def instance_values(values, *, notes=()):
    n = len(values)
    return InstanceValues("banzhaf", "cross_entropy", values, np.ones(n), np.full(n, 50.0), np.arange(n), 100, notes)


def test_the_highest_and_the_lowest_are_shown_in_order():
    values = np.arange(30.0) - 15.0
    shown = instance_values(values)._repr_html_()
    places = [int(cell) for cell in re.findall(r"<tr>\s*<td>(\d+)</td>", shown)]
    assert places == [29, 28, 27, 26, 25, 4, 3, 2, 1, 0]
    assert "banzhaf on cross_entropy" in shown


def test_an_influence_shows_its_shape_and_its_data_values():
    mean = instance_values(np.array([1.0, -9.0, 0.0]))
    influence = Influence(
        "banzhaf",
        "cross_entropy",
        np.zeros((3, 2)),
        np.ones((3, 2)),
        np.full((3, 2), 50.0),
        mean,
        np.arange(3),
        np.arange(2),
    )
    shown = influence._repr_html_()
    assert "[3 training, 2 test]" in shown
    assert "-9" in shown


def test_notes_and_names_are_escaped():
    hostile = dataclasses.replace(instance_values(np.ones(3), notes=("<script>alert(1)</script>",)), loss="<b>")
    shown = hostile._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;b&gt;" in shown
