"""`until` rules on signs and on the top of the ranking: where they stop, and that stopping is right."""

import numpy as np
import pytest

from orchestrator import Job, arrays_data, run
from orchestrator.jobs.job import Until
from orchestrator.stops import until_stops

pytestmark = pytest.mark.usefixtures("tracking_database")

N = 12


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
        campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": {"until": rule}}],
        cluster={"address": "in_process"},
        folder=folder,
    )


def truth(campaign):
    """Exact Banzhaf values of the mean loss, from all 4,096 subsets retrained by hand."""
    members = (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(bool)
    seen = {}
    for block in campaign.retrains("squared_error", 0, campaign.plan.draws):
        for row, losses in zip(block.members, block.losses, strict=True):
            seen[row.tobytes()] = losses.mean(dtype=float)
    known = np.array([seen.get(row.tobytes(), np.nan) for row in members])
    return np.array([np.nanmean(known[~members[:, i]]) - np.nanmean(known[members[:, i]]) for i in range(N)])


def test_it_stops_when_enough_signs_are_certain_and_these_are_right(tmp_path):
    campaign = run(a_job(tmp_path, statistic="undecided_signs", below=0.5)).campaigns[0]
    assert 500 <= campaign.plan.draws < 6000
    found = campaign.values("banzhaf").data_values()
    certain = found.certain()
    assert certain.mean() > 0.5
    assert (np.sign(found.values) == np.sign(truth(campaign)))[certain].all()


def test_it_stops_when_the_top_is_certain(tmp_path):
    campaign = run(a_job(tmp_path, statistic="top_undecided", top=2, below=0.6)).campaigns[0]
    assert campaign.plan.draws < 6000
    assert campaign.plan.draws % 500 == 0


def test_looks_are_at_whole_units():
    until = Until(value="banzhaf", below=0.1, at_most=1000, every=100)
    assert list(until_stops(until, 30)) == [120, 240, 360, 480, 600, 720, 840, 960, 990]
    assert list(until_stops(until)) == list(range(100, 1001, 100))
