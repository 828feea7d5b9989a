"""Certain signs: p-values, Benjamini-Hochberg, intervals; against naive definitions and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from estimators.confidence import benjamini_hochberg, half_widths, p_values

P = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0]), st.just(float("nan")))


def naive_benjamini_hochberg(p, level):
    """Reject the k smallest p-values, k the largest rank with p_(k) <= k level / m; NaN is no hypothesis."""
    known = sorted(x for x in p if not np.isnan(x))
    passing = [x for rank, x in enumerate(known, start=1) if x <= rank * level / len(known)]
    cut = max(passing, default=-1.0)
    return [not np.isnan(x) and x <= cut for x in p]


@given(p=st.lists(P, min_size=1, max_size=30), level=st.sampled_from([0.01, 0.05, 0.2, 0.5]))
@settings(max_examples=120, deadline=None)
def test_benjamini_hochberg_is_its_naive_definition(p, level):
    assert benjamini_hochberg(np.array(p), level).tolist() == naive_benjamini_hochberg(p, level)


@given(columns=st.lists(st.lists(P, min_size=4, max_size=4), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_benjamini_hochberg_takes_each_column_alone(columns):
    p = np.array(columns).T
    expected = np.array([naive_benjamini_hochberg(column, 0.05) for column in columns]).T
    np.testing.assert_array_equal(benjamini_hochberg(p, 0.05), expected)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1])
def test_a_level_outside_zero_and_one_is_refused(level):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        benjamini_hochberg(np.array([0.1]), level)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        half_widths(np.array([0.1]), np.array([3.0]), level)


def test_benjamini_hochberg_keeps_wrong_signs_below_the_level():
    # 2,000 families of 40 null values: the chance of any call is 5 %, bound at 1e-4. Fixed seed.
    p = np.random.default_rng(1).random((40, 2000))
    calls = benjamini_hochberg(p, 0.05).any(axis=0).sum()
    assert stats.binom.ppf(1e-4, 2000, 0.05) <= calls <= stats.binom.ppf(1 - 1e-4, 2000, 0.05)


def test_p_values_and_intervals_are_those_of_students_t_in_scipy():
    rng = np.random.default_rng(2)
    values, errors, df = rng.normal(size=200) * 3, rng.random(200) + 0.1, rng.random(200) * 50 + 1
    np.testing.assert_allclose(p_values(values, errors, df), 2 * stats.t.sf(np.abs(values / errors), df), rtol=1e-9)
    np.testing.assert_allclose(half_widths(errors, df, 0.9), errors * stats.t.ppf(0.95, df), rtol=1e-9)


@pytest.mark.parametrize(
    ("value", "error", "df", "p"),
    [
        (0.0, 0.0, 10.0, 1.0),
        (0.3, 0.0, np.inf, 0.0),
        (np.nan, np.inf, 0.0, np.nan),
        (1.0, np.nan, 0.0, np.nan),
        (1.0, np.inf, 5.0, np.nan),
        (1.0, 0.5, 0.0, np.nan),
    ],
)
def test_p_values_at_the_edges(value, error, df, p):
    np.testing.assert_equal(p_values(np.array([value]), np.array([error]), np.array([df]))[0], p)


def test_exact_values_have_intervals_of_no_width_and_unknown_ones_endless_or_none():
    widths = half_widths(np.array([0.0, np.inf, np.nan]), np.array([np.inf, 0.0, 0.0]))
    np.testing.assert_equal(widths, [0.0, np.inf, np.nan])
