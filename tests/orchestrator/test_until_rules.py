"""`until` rules on signs and on the top of the ranking: where they stop, and that stopping is right."""

import numpy as np
import pytest

from estimators.confidence import benjamini_hochberg
from estimators.confidence_sequence import anytime_p_values
from orchestrator import Job, arrays_data, run
from orchestrator.jobs.job import Until
from orchestrator.stops import until_stops

pytestmark = pytest.mark.usefixtures("tracking_database")

N = 10


def a_job(folder, **until):
    """Ridge on a line through the origin where three instances have a label far off: their values stand out."""
    rng = np.random.default_rng(11)
    X = rng.normal(size=(N + 20, 2))
    y = X @ np.array([1.0, -1.0]) + 0.05 * rng.normal(size=N + 20)
    y[:3] += np.array([4.0, -4.0, 4.0])
    rule = {"value": "banzhaf", "at_most": 6000, "every": 500, **until}
    return Job(
        name="until",
        data=arrays_data(X[:N], y[:N], X[N:], y[N:]),
        learner={"kind": "ridge"},
        campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": {"until": rule}}, {"design": "exhaustive"}],
        values=["banzhaf"],
        cluster={"address": "in_process"},
        folder=folder,
    )


def test_it_stops_when_enough_signs_are_certain_and_these_are_right(tmp_path):
    drawn, listed = run(a_job(tmp_path, statistic="undecided_signs", below=0.5)).campaigns
    assert 500 <= drawn.plan.draws < 6000
    found = drawn.values("banzhaf").data_values()
    p = anytime_p_values(
        found.values, found.standard_errors, found.degrees_of_freedom, units=drawn.plan.draws, best_at=3000
    )
    certain = benjamini_hochberg(p)
    assert certain.mean() > 0.5
    truth = listed.values("banzhaf").data_values().values
    np.testing.assert_array_equal(np.sign(found.values[certain]), np.sign(truth[certain]))


def test_it_stops_when_the_top_is_certain(tmp_path):
    campaign = run(a_job(tmp_path, statistic="top_undecided", top=2, below=0.6)).campaigns[0]
    assert campaign.plan.draws < 6000
    assert campaign.plan.draws % 500 == 0


def test_looks_are_at_whole_units():
    until = Until(value="banzhaf", below=0.1, at_most=1000, every=100)
    assert list(until_stops(until, 30)) == [120, 240, 360, 480, 600, 720, 840, 960, 990]
    assert list(until_stops(until)) == list(range(100, 1001, 100))
