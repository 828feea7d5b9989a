"""Groups as players, against training on their rows by hand."""

import dataclasses

import numpy as np
import pytest
from learner_data import assert_row_of, classification_data, regression_data, seeds, subsets

from workers.errors import LearnerError
from workers.grouped import grouped_learner
from workers.learner_specs import LogisticRegressionSpec, RidgeSpec
from workers.learners import make_learner

GROUPS = np.array([0, 2, 1] * 20)


def test_members_are_groups_and_train_losses_their_means():
    data = regression_data(groups=GROUPS)
    members = np.array([[True, False, True], [False, False, False], [True, True, True]])
    grouped = make_learner(RidgeSpec(), data)
    rows = make_learner(RidgeSpec(), dataclasses.replace(data, groups=None))
    found, expected = grouped.retrain(members, seeds(3)), rows.retrain(members[:, GROUPS], seeds(3))
    assert (grouped.n, grouped.n_test, grouped.losses) == (3, data.n_test, ("squared_error",))
    assert found.test["squared_error"].tobytes() == expected.test["squared_error"].tobytes()
    for group in range(3):
        means = expected.train["squared_error"][:, group == GROUPS].mean(axis=1)
        np.testing.assert_allclose(found.train["squared_error"][:, group], means, rtol=1e-5)


def test_groups_of_one_row_are_the_rows_themselves():
    data = classification_data()
    single = make_learner(LogisticRegressionSpec(), dataclasses.replace(data, groups=np.arange(data.n)))
    members = subsets(3, data.n)
    assert_row_of(
        make_learner(LogisticRegressionSpec(), data).retrain(members[:1], None), 0, single.retrain(members[:1], None)
    )


def test_a_group_without_rows_is_refused():
    rows = make_learner(RidgeSpec(), regression_data())
    with pytest.raises(LearnerError, match="in 4 groups, of which 1 are empty"):
        grouped_learner(rows, np.array([0, 1, 3] * 20))
    with pytest.raises(LearnerError, match="every row needs a group"):
        grouped_learner(rows, np.zeros(3, dtype=np.int64))


def test_another_k_reaches_the_learner_over_rows():
    grouped = make_learner(RidgeSpec(), regression_data(groups=GROUPS), together=8)
    assert grouped.together == 8
    assert grouped.with_together(2).together == 2
