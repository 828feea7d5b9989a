"""The forecast of retrains until a sign is certain, against the law it uses and against fresh draws."""

import numpy as np
import pytest

from estimators.evaluation import retrains_to_certain_sign


def test_the_forecast_is_where_the_interval_ends_at_zero():
    more = float(retrains_to_certain_sign([0.5], [1.0], 100)[0])
    total = 100 + more
    assert 1.959963 * 1.0 * np.sqrt(100 / total) <= 0.5
    assert 1.959963 * 1.0 * np.sqrt(100 / (total - 1)) > 0.5


def test_a_certain_sign_needs_none_a_zero_never_gets_one_and_the_unknown_stays_unknown():
    more = retrains_to_certain_sign([3.0, -3.0, 0.0, np.nan, 1.0], [1.0, 1.0, 1.0, 1.0, np.inf], 50)
    assert more[:2].tolist() == [0.0, 0.0]
    assert more[2] == np.inf
    assert np.isnan(more[3:]).all()


def test_half_of_fresh_campaigns_of_the_forecast_length_decide_the_sign():
    # with the true value as the forecast's v, the estimate exceeds its interval's half width in half of all campaigns;
    # of 2,000, the count lies within 4.9 standard deviations of 1,000 but for one test run in a million
    value, spread, first = 0.3, 2.0, 40
    total = first + int(retrains_to_certain_sign([value], [spread / np.sqrt(first)], first)[0])
    draws = value + spread * np.random.default_rng(5).normal(size=(2000, total))
    decided = int(np.sum(draws.mean(axis=1) > 1.959963 * spread / np.sqrt(total)))
    assert abs(decided - 1000) < 4.9 * np.sqrt(500)


def test_a_confidence_that_is_none_is_refused():
    with pytest.raises(ValueError, match="confidence 95"):
        retrains_to_certain_sign([1.0], [1.0], 10, confidence=95)
