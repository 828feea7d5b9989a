"""How long a pilot is."""

import pytest

from estimators.designs import make_design
from estimators.pilot_length import first_length, next_length

SINGLE = make_design("bernoulli", n=100, seed=1, probability=0.5)
WALKS = make_design("permutation", n=41, seed=1)


@pytest.mark.parametrize(
    ("design", "budget", "length"), [(SINGLE, 5000, 32), (SINGLE, 20, 20), (WALKS, 5000, 80), (WALKS, 60, 60)]
)
def test_it_begins_with_32_draws_and_two_units_of_what_there_is(design, budget, length):
    assert first_length(design, budget) == length


@pytest.mark.parametrize(
    ("budget", "length", "wanted", "longer"),
    [
        (4000, 32, 32.0, 32),  # settled
        (4000, 32, 90.0, 90),  # what is asked for
        (4000, 32, 40.0, 64),  # at least twice
        (4000, 32, 9000.0, 128),  # at most four times at once
        (4000, 256, 9000.0, 512),  # at most 512
        (800, 128, 9000.0, 400),  # half of the budget
        (200, 64, 9000.0, 100),
        (200, 100, 9000.0, 100),
    ],
)
def test_it_grows_to_what_predictions_ask_for_within_a_share_of_the_budget(budget, length, wanted, longer):
    assert next_length(SINGLE, budget, length, wanted) == longer


def test_it_grows_by_whole_units():
    assert next_length(WALKS, 4000, 80, 100.0) == 160
    assert next_length(WALKS, 4000, 80, 170.0) == 200
