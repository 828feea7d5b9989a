"""Losses from class probabilities and predictions."""

import numpy as np
import pytest

from workers.errors import LearnerError
from workers.losses import (
    PROBABILITY_FLOOR,
    classification_losses,
    clipped_logarithms,
    kept_losses,
    regression_losses,
)

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [0.0, 1.0, 0.0], [0.4, 0.4, 0.2]])
LABELS = np.array([0, 1, 2, 0])


def losses_of(*names):
    return classification_losses(names, clipped_logarithms(PROBABILITIES), LABELS)


def test_cross_entropy_is_minus_the_log_of_the_labels_probability_with_a_floor():
    expected = -np.log([0.7, 0.4, PROBABILITY_FLOOR, 0.4])
    np.testing.assert_allclose(losses_of("cross_entropy")["cross_entropy"], expected, rtol=1e-6)


def test_zero_one_takes_the_first_of_equal_classes():
    np.testing.assert_array_equal(losses_of("zero_one")["zero_one"], [0, 1, 1, 0])


def test_margin_is_negative_where_the_label_wins():
    expected = [np.log(0.2 / 0.7), 0.0, -np.log(PROBABILITY_FLOOR), 0.0]
    np.testing.assert_allclose(losses_of("margin")["margin"], expected, rtol=1e-6, atol=1e-7)


def test_probabilities_that_are_nan_give_nan_in_every_loss():
    logarithms = clipped_logarithms(np.array([[np.nan, 0.5]]))
    for values in classification_losses(("cross_entropy", "zero_one", "margin"), logarithms, np.array([0])).values():
        assert np.isnan(values).all()


def test_regression_losses_are_the_error_squared_and_its_size():
    found = regression_losses(("squared_error", "absolute_error"), np.array([1.0, -2.0]), np.array([0.5, 1.0]))
    np.testing.assert_array_equal(found["squared_error"], [0.25, 9.0])
    np.testing.assert_array_equal(found["absolute_error"], [0.5, 3.0])
    assert all(values.dtype == np.float32 for values in found.values())


def test_defaults_follow_the_task():
    assert kept_losses((), "classification") == ("cross_entropy", "zero_one")
    assert kept_losses((), "regression") == ("squared_error",)
    assert kept_losses((), "classification", offered=("zero_one",)) == ("zero_one",)


def test_a_loss_of_the_other_task_is_refused_with_those_offered():
    with pytest.raises(
        LearnerError, match=r"squared_error cannot.*data.task is classification.*cross_entropy, zero_one"
    ):
        kept_losses(("squared_error",), "classification")


def test_a_loss_named_twice_is_refused():
    with pytest.raises(LearnerError, match="twice"):
        kept_losses(("zero_one", "zero_one"), "classification")
