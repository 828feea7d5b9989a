"""Truncated walks in a chunk: which prefixes are trained, and that no walk stops before its stop."""

import numpy as np
import pytest

from estimators.designs.stopping import StopRule, stop_of
from workers.prefixes import Prefixes, PrefixGroups

RULE = StopRule(reference=1.0, bound=0.5, patience=2)


def carried_out(prefixes, losses, together):
    """Rows trained, in order, where row r has mean loss losses[r]."""
    groups, trained = PrefixGroups(prefixes, together), []
    for group in groups:
        assert 0 < len(group) <= together
        groups.seen(group, losses[group])
        trained += group
    assert len(set(trained)) == len(trained)
    return trained


@pytest.mark.parametrize("together", [1, 3, 8, 100])
def test_every_prefix_up_to_the_stop_is_trained_and_at_most_a_batch_beyond(together):
    rng = np.random.default_rng(2)
    rows = np.arange(60).reshape(5, 12)
    means = rng.uniform(0.0, 3.0, size=60)
    trained = carried_out(Prefixes(RULE, "loss", rows, np.full((5, 12), np.nan)), means, together)
    stops = [stop_of(RULE, means[walk]) or 12 for walk in rows]
    needed = {int(row) for walk, stop in zip(rows, stops, strict=True) for row in walk[:stop]}
    assert needed <= set(trained)
    assert len(trained) <= len(needed) + 5 * max(1, together)
    if together == 1:
        assert set(trained) == needed


def test_stored_prefixes_are_not_trained_and_count_towards_the_stop():
    known = np.array([[9.0, 1.0, np.nan, np.nan, np.nan]])
    rows = np.array([[-1, -1, 0, 1, 2]])
    assert carried_out(Prefixes(RULE, "loss", rows, known), np.array([1.2, 9.0, 9.0]), 1) == [0]


def test_a_prefix_that_is_not_known_only_delays_a_stop():
    rows = np.array([[0, -1, 1, 2, 3]])
    trained = carried_out(Prefixes(RULE, "loss", rows, np.full((1, 5), np.nan)), np.array([1.0, 1.0, 1.0, 1.0]), 1)
    assert trained == [0, 1, 2]


def test_a_part_of_a_chunk_holds_the_rows_asked_for_alone():
    rows = np.array([[0, 1, 2], [3, 1, 4]])
    part = Prefixes(RULE, "loss", rows, np.full((2, 3), np.nan)).part([1, 4])
    np.testing.assert_array_equal(part.rows, [[-1, 0, -1], [-1, 0, 1]])


@pytest.mark.parametrize(
    ("means", "stop"),
    [([1.0, 1.0], 2), ([1.0, 9.0, 1.4, 0.6], 4), ([1.0, np.nan, 1.0, 1.0], 4), ([1.6, 1.0, 9.0], None), ([], None)],
)
def test_a_walk_stops_after_patience_close_prefixes_in_a_row(means, stop):
    assert stop_of(RULE, np.array(means)) == stop
