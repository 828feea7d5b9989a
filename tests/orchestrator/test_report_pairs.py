"""The sections on pairs and on agreement, against plain sorting and SciPy's own correlation."""

import numpy as np
import pytest
from report_material import N_TEST, N, influence, instance_values, report_input
from scipy.stats import spearmanr

from orchestrator.report.agreement import agreement
from orchestrator.report.certainty import certain_pairs
from orchestrator.report.pairs import MOST_OF_ONE_INSTANCE, PAIRS, influential_pairs, strongest
from orchestrator.report.shown import Instances


def test_the_strongest_pairs_are_those_of_the_whole_matrix_less_repeats():
    values = np.random.default_rng(1).normal(size=(50, 30))
    chosen = strongest(values, np.zeros(values.shape, dtype=bool), count=6)
    met, wanted = {}, []
    for place in np.argsort(-np.abs(values), axis=None):
        i, j = divmod(int(place), 30)
        if met.get(("i", i), 0) < MOST_OF_ONE_INSTANCE and met.get(("j", j), 0) < MOST_OF_ONE_INSTANCE:
            met[("i", i)] = met.get(("i", i), 0) + 1
            met[("j", j)] = met.get(("j", j), 0) + 1
            wanted.append((i, j))
    assert chosen == wanted[:6]


def test_where_some_signs_are_certain_only_those_pairs_are_shown():
    values = np.array([[9.0, -8.0], [1.0, -2.0]])
    assert strongest(values, np.array([[False, False], [True, True]])) == [(1, 1), (1, 0)]


def test_an_unknown_value_is_in_no_pair():
    values = np.array([[np.nan, 3.0], [np.nan, np.nan]])
    assert strongest(values, np.zeros((2, 2), dtype=bool)) == [(0, 1)]


def test_a_report_shows_pairs_with_both_instances():
    contents = report_input(influences=[influence(strong=3)])
    certain = [certain_pairs(each) for each in contents.shown_influences()]
    (method,) = influential_pairs(contents, certain, Instances(contents, pictures=10))
    strong = 3 * MOST_OF_ONE_INSTANCE
    assert {pair.train.place for pair in method.pairs[:strong]} == {"#0", "#1", "#2"}
    assert all(pair.certain and pair.side == "pro" for pair in method.pairs[:strong])
    assert all(pair.certain for pair in method.pairs)
    assert method.every == N * N_TEST
    assert len(method.pairs) <= PAIRS


def test_agreement_is_spearmans_correlation_and_the_last_column_is_each_values_own():
    contents = report_input()
    found = agreement(contents)
    assert found is not None
    assert set(found.names) == {"Banzhaf", "memorization", "held-out loss"}
    rankings = {"Banzhaf": contents.influences[0].mean.values}
    rankings |= {
        "memorization": contents.instance_values[0].values,
        "held-out loss": contents.instance_values[1].values,
    }
    for row, name in enumerate(found.names):
        for place, other in enumerate(found.names):
            cell = found.cells[row][place].replace("\N{MINUS SIGN}", "-")
            if place < row:
                assert float(cell) == pytest.approx(spearmanr(rankings[name], rankings[other]).statistic, abs=0.0051)
            else:
                assert cell == ""
    assert found.ceiling[found.names.index("Banzhaf")] == "0.20"


def test_one_ranking_alone_agrees_with_nobody():
    assert agreement(report_input(instance_values=[], instance_value_campaigns=[])) is None


def test_a_ranking_that_is_constant_has_no_correlation():
    contents = report_input(instance_values=[instance_values("memorization", np.ones(N))])
    found = agreement(contents)
    assert found is not None
    assert "unknown" in {cell for row in found.cells for cell in row}
