"""The share of pairs whose order is certain."""

import numpy as np

from estimators.evaluation.order_certainty import MOST_INSTANCES, order_certain
from estimators.influence import InstanceValues


def values(numbers, errors):
    n = len(numbers)
    return InstanceValues(
        "v", "l", np.asarray(numbers, float), np.asarray(errors, float), np.full(n, 50.0), np.arange(n)
    )


def test_far_apart_is_certain_and_alike_is_not():
    assert order_certain(values([0.0, 10.0, 20.0], [1.0, 1.0, 1.0])) == 1.0
    assert order_certain(values([0.0, 0.1, 0.2], [1.0, 1.0, 1.0])) == 0.0
    assert order_certain(values([0.0, 0.1, 20.0], [1.0, 1.0, 1.0])) == 2 / 3


def test_exact_values_are_certain_unless_they_are_equal():
    assert order_certain(values([1.0, 2.0, 2.0], [0.0, 0.0, 0.0])) == 2 / 3


def test_unknown_values_do_not_count():
    assert order_certain(values([0.0, 10.0, np.nan], [1.0, 1.0, np.inf])) == 1.0
    assert np.isnan(order_certain(values([0.0, np.nan], [1.0, np.inf])))


def test_of_noise_alone_next_to_nothing_is_called_certain():
    rng = np.random.default_rng(0)
    called = [order_certain(values(rng.normal(size=30), np.ones(30))) for _ in range(200)]
    assert np.mean(np.array(called) > 0) < 0.12  # Benjamini-Hochberg at 5 %, pairs dependent; 200 families


def test_many_instances_are_thinned():
    n = 2 * MOST_INSTANCES
    assert order_certain(values(np.arange(n) * 10.0, np.ones(n))) == 1.0
