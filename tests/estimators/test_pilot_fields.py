"""What a pilot takes of many tests whose losses vary differently much."""

import numpy as np
import pytest

from estimators.aggregators.blocks import Again, aggregate
from estimators.designs import make_design
from estimators.pilot_fields import MOST_COLUMNS, fitted_pilot
from estimators.planning import imagined_errors
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains

N, DRAWS, PILOT = 30, 600, 150


def a_campaign(tests, seed=3):
    """Losses of which single instances explain nearly all where they vary much, and next to nothing where little."""
    rng = np.random.default_rng(seed)
    design = make_design("bernoulli", n=N, seed=seed, probability=0.5)
    members = design.draws(0, DRAWS)
    spread = np.exp(2.0 * rng.normal(size=tests))
    explained = np.clip(0.5 + 0.4 * np.log(spread), 0.05, 0.95)
    single = (2.0 * members - 1.0) @ rng.normal(size=(N, tests)) / np.sqrt(N)
    losses = spread * (np.sqrt(explained) * single + np.sqrt(1.0 - explained) * rng.normal(size=(DRAWS, tests)))
    ends = EndRows(full=np.zeros((4, tests)), empty=np.zeros(tests), deterministic=False)
    return design, Retrains(members, losses, None, np.arange(DRAWS), design.units(0, DRAWS)), ends


@pytest.mark.parametrize("tests", [MOST_COLUMNS - 2, 300])
def test_the_tests_taken_stand_for_the_spread_of_all_and_the_last_column_is_the_mean_over_all(tests):
    _, rows, ends = a_campaign(tests)
    pilot = fitted_pilot(rows, ends)
    taken = pilot.rows.losses
    assert taken.shape[1] - 1 == len(pilot.shares) <= MOST_COLUMNS
    assert taken[:, :-1].std(axis=0) @ pilot.shares == pytest.approx(rows.losses.std(axis=0).mean())
    np.testing.assert_allclose(taken[:, -1], rows.losses.mean(axis=1))
    assert pilot.ends.full.shape[1] == taken.shape[1]


@pytest.mark.parametrize("tests", [MOST_COLUMNS - 2, 300])
@pytest.mark.parametrize("value", ["banzhaf_least_squares", "banzhaf"])
def test_errors_over_all_cells_come_out_as_a_pilot_of_some_tests_predicts(tests, value):
    """Without weights by spread, least squares are predicted to err by half as much again."""
    design, rows, ends = a_campaign(tests)
    method = value_method(value)
    pilot = fitted_pilot(rows.rows(slice(0, PILOT)), ends)
    predicted = imagined_errors(
        lambda some: method.make(loss="loss", ends=some, design=design), pilot, design, draws=DRAWS
    )
    found = aggregate(method.make(loss="loss", ends=ends, design=design), Again(lambda: iter([rows])))
    assert predicted.pair.error == pytest.approx(found.standard_errors.mean(), rel=0.2)
    assert predicted.instance.error == pytest.approx(found.mean.standard_errors.mean(), rel=0.25)


def test_losses_that_never_varied_are_predicted_no_error():
    design, rows, ends = a_campaign(3)
    still = Retrains(rows.members, np.zeros_like(rows.losses), None, rows.draws, rows.units)
    method = value_method("banzhaf")
    found = imagined_errors(
        lambda some: method.make(loss="loss", ends=some, design=design), fitted_pilot(still, ends), design, draws=DRAWS
    )
    assert found.pair.error == found.instance.error == 0.0
