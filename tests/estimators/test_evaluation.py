"""Label errors found, and stability of a ranking: against naive definitions and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from estimators.evaluation import label_errors, rank_stability

CASES = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: {known for _, known in rows} == {True, False}
)


@given(CASES)
@settings(max_examples=40, deadline=None)
def test_auroc_is_scikit_learns_ties_included(rows):
    suspicion, known = np.array([float(s) for s, _ in rows]), np.array([k for _, k in rows])
    found = label_errors(suspicion, known, share=0.5)
    assert found.auroc == pytest.approx(roc_auc_score(known, suspicion), abs=1e-12)


@given(CASES, st.floats(0.01, 1.0))
@settings(max_examples=40, deadline=None)
def test_errors_found_are_the_mean_over_orders_of_tied_instances(rows, share):
    suspicion, known = np.array([float(s) for s, _ in rows]), np.array([k for _, k in rows])
    found = label_errors(suspicion, known, share=share)
    best = np.sort(known[np.lexsort((~known, -suspicion))][: found.reviewed]).sum()
    worst = np.sort(known[np.lexsort((known, -suspicion))][: found.reviewed]).sum()
    assert worst - 1e-9 <= found.found <= best + 1e-9
    rng = np.random.default_rng(0)
    orders = [np.lexsort((rng.random(len(rows)), -suspicion))[: found.reviewed] for _ in range(200)]
    spread = max(1, best - worst)
    assert found.found == pytest.approx(
        np.mean([known[order].sum() for order in orders]), abs=5 * spread / np.sqrt(200)
    )
    assert found.precision == found.found / found.reviewed
    assert found.recall == found.found / known.sum()


def test_a_perfect_ranking_finds_every_error():
    known = np.arange(100) < 10
    found = label_errors(np.where(known, 2.0, 1.0) + np.arange(100) * 1e-3, known, share=0.1)
    assert (found.auroc, found.precision, found.recall) == (1.0, 1.0, 1.0)
    assert (found.reviewed, found.errors, found.auroc_standard_error) == (10, 10, 0.0)


def test_unknown_suspicion_ranks_last():
    known = np.array([True, False, False, True])
    found = label_errors(np.array([np.nan, 1.0, 0.5, 2.0]), known, share=0.5)
    assert found.auroc == 0.5
    assert found.found == 1


def test_without_errors_there_is_no_auroc_and_no_recall():
    found = label_errors(np.arange(5.0), np.zeros(5, dtype=bool), share=0.2)
    assert np.isnan([found.auroc, found.recall, found.auroc_standard_error]).all()
    assert found.precision == 0.0


def test_the_error_of_the_auroc_is_that_of_resampling():
    # 1,000 draws of two normal groups; the mean estimated error is within 7 % of the observed spread. Fixed seed.
    rng = np.random.default_rng(3)
    known = np.arange(120) < 40
    found = [label_errors(rng.normal(size=120) + known, known, share=0.1) for _ in range(1000)]
    spread = np.std([each.auroc for each in found])
    assert np.mean([each.auroc_standard_error for each in found]) == pytest.approx(spread, rel=0.07)


@pytest.mark.parametrize(
    ("suspicion", "known", "share", "words"),
    [
        (np.ones(3), np.ones(4, dtype=bool), 0.1, "must both be"),
        (np.ones((2, 2)), np.ones((2, 2), dtype=bool), 0.1, "must both be"),
        (np.ones(3), np.ones(3, dtype=bool), 0.0, "share 0.0"),
        (np.ones(3), np.ones(3, dtype=bool), 1.1, "share 1.1"),
    ],
)
def test_label_errors_refuses_what_it_cannot_judge(suspicion, known, share, words):
    with pytest.raises(ValueError, match=words):
        label_errors(suspicion, known, share=share)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
@settings(max_examples=40, deadline=None)
def test_rank_stability_is_the_correlation_of_mean_ranks(pairs):
    a, b = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    stability = rank_stability(a, b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert np.isnan(stability)
        return
    ranks = [[(x > y).sum() + (x == y).sum() / 2 for x in side for y in [side]] for side in (a, b)]
    assert stability == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-9)


def test_rank_stability_leaves_out_instances_that_either_half_does_not_know():
    a, b = np.array([1.0, 2.0, 3.0, 4.0, np.nan]), np.array([1.0, 2.0, 3.0, np.nan, 0.0])
    assert rank_stability(a, b) == 1.0
    assert np.isnan(rank_stability(a[2:], b[2:]))
    with pytest.raises(ValueError, match="must both be"):
        rank_stability(a, b[:3])
