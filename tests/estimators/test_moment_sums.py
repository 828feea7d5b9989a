"""Variances shared between instances: against numbers by hand, under merging, and where there is nothing to share."""

import numpy as np
import pytest
from oracles.shared_variances import shared_variances

from estimators.aggregators.moment_sums import MomentSums

UNITS, N = 24, 9


def sums_of(x):
    """Of x [units, n, c]."""
    found = MomentSums.empty(*x.shape[1:])
    for each in x:
        found = found.with_unit(each)
    return found


def numbers(kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "rare":  # worth something in few units only
        share = np.linspace(0.02, 0.3, N)[:, None]
        return (rng.random((UNITS, N, 3)) < share) + 0.05 * rng.normal(size=(UNITS, N, 3))
    return 3.0 + rng.normal(size=(UNITS, N, 3)) * np.linspace(0.5, 2.0, N)[:, None]


@pytest.mark.parametrize("kind", ["rare", "normal"])
def test_variances_and_degrees_of_freedom_are_those_by_hand(kind):
    x = numbers(kind)
    found = sums_of(x).estimates(slice(None))
    np.testing.assert_allclose(found.values, x.mean(axis=0), rtol=1e-12)
    for column in range(x.shape[2]):
        variances, degrees = shared_variances(x[:, :, column])
        np.testing.assert_allclose(found.standard_errors[:, column], np.sqrt(variances / UNITS), rtol=1e-9)
        np.testing.assert_allclose(found.degrees_of_freedom[:, column], degrees, rtol=1e-9)


def test_symmetric_numbers_share_less_than_rare_ones():
    kept = {}
    for kind in ("normal", "rare"):
        x = np.concatenate([numbers(kind, seed) for seed in range(20)], axis=2)
        own, found = x.var(axis=0, ddof=1), sums_of(x).estimates(slice(None)).standard_errors ** 2 * UNITS
        kept[kind] = np.median(found.std(axis=0) / own.std(axis=0))  # 1 - B R of each column
    assert kept["rare"] + 0.15 < kept["normal"] <= 1.0


def test_an_instance_that_never_varied_has_an_error_and_few_degrees_of_freedom_where_others_are_rare():
    x = numbers("rare")
    x[:, 0] = 0.0
    found = sums_of(x).estimates(slice(None))
    assert (found.standard_errors[0] > 0.0).all()
    assert (found.degrees_of_freedom[0] < UNITS - 1).all()


def test_parts_merge_in_any_order_and_what_was_lent_stays():
    x = numbers("rare")
    whole = sums_of(x).estimates(slice(None))
    a, b = sums_of(x[:7]), sums_of(x[7:])
    for merged in (a.plus(b), b.plus(a)):
        np.testing.assert_allclose(merged.estimates(slice(None)).standard_errors, whole.standard_errors, rtol=1e-9)
    a.lent = True
    before = a.estimates(slice(None))
    a.with_unit(x[7])
    assert a.estimates(slice(None)).standard_errors.tobytes() == before.standard_errors.tobytes()


@pytest.mark.parametrize("level", [0.0, 1.0, 1e3])
def test_numbers_that_never_vary_have_no_error(level):
    found = sums_of(np.full((UNITS, N, 2), level)).estimates(slice(None))
    assert (found.standard_errors == 0.0).all()
    assert np.isfinite(found.degrees_of_freedom).all()


def test_a_spread_within_the_rounding_of_fourth_powers_keeps_its_own_variance():
    x = 1.0 + 1e-5 * numbers("normal")
    found = sums_of(x).estimates(slice(None))
    np.testing.assert_allclose(found.standard_errors, np.sqrt(x.var(axis=0, ddof=1) / UNITS), rtol=1e-3)


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_instances_share_nothing(n):
    x = numbers("rare")[:, :n]
    found = sums_of(x).estimates(slice(None))
    np.testing.assert_allclose(found.standard_errors, np.sqrt(x.var(axis=0, ddof=1) / UNITS), rtol=1e-9)
