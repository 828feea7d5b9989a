"""Ridge regression on many subsets, against scikit-learn and closed forms."""

import dataclasses

import numpy as np
import pytest
from learner_data import assert_row_of, classification_data, regression_data, subsets
from sklearn.linear_model import LinearRegression, Ridge

from workers.errors import LearnerError
from workers.learner_specs import RidgeSpec
from workers.learners.linear_data import Gathered
from workers.learners.ridge import ridge_learner
from workers.learners.ridge_fit import ridge_fit


def oracle_losses(data, row, model):
    weights = None if data.weights is None else data.weights[row]
    model.fit(data.train_features[row], data.train_labels[row], sample_weight=weights)
    test = np.square(model.predict(data.test_features) - data.test_labels)
    return test, np.square(model.predict(data.train_features) - data.train_labels)


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 300.0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("shape", [(60, 5), (40, 70)])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_equal_those_of_scikit_learn(alpha, intercept, shape, weighted):
    weights = np.random.default_rng(5).uniform(0.1, 3.0, shape[0]) if weighted else None
    data = regression_data(*(shape[0], 25, shape[1]), weights=weights)
    learner = ridge_learner(RidgeSpec(alpha=alpha, fit_intercept=intercept), data)
    members = subsets(6, data.n)
    found = learner.retrain(members, None)
    for k, row in enumerate(members):
        test, train = oracle_losses(data, row, Ridge(alpha=alpha, fit_intercept=intercept, solver="svd"))
        np.testing.assert_allclose(found.test["squared_error"][k], test, rtol=2e-5, atol=1e-8)
        np.testing.assert_allclose(found.train["squared_error"][k], train, rtol=2e-5, atol=1e-8)


def test_a_subset_of_one_predicts_its_target_everywhere():
    data = regression_data()
    members = np.eye(data.n, dtype=bool)[:3]
    found = ridge_learner(RidgeSpec(), data).retrain(members, None)
    for k in range(3):
        expected = np.square(data.train_labels[k] - data.test_labels)
        np.testing.assert_allclose(found.test["squared_error"][k], expected, rtol=1e-6)


def test_the_empty_subset_predicts_zero():
    data = regression_data()
    found = ridge_learner(RidgeSpec(), data).retrain(np.zeros((1, data.n), dtype=bool), None)
    np.testing.assert_allclose(found.test["squared_error"][0], np.square(data.test_labels), rtol=1e-6)


def test_instances_of_weight_zero_are_not_there():
    weights = np.ones(60)
    weights[::2] = 0.0
    data = regression_data(weights=weights)
    learner = ridge_learner(RidgeSpec(), data)
    everyone, others = np.ones((1, 60), dtype=bool), np.zeros((1, 60), dtype=bool)
    others[0, 1::2] = True
    assert_row_of(learner.retrain(everyone, None), 0, learner.retrain(others, None))
    evens = ~others
    np.testing.assert_allclose(
        learner.retrain(evens, None).test["squared_error"][0], np.square(data.test_labels), rtol=1e-6
    )


def test_without_penalty_a_singular_design_gets_the_solution_of_least_norm():
    data = regression_data(n=30, d=4)
    doubled = dataclasses.replace(
        data,
        train_features=np.hstack([data.train_features, data.train_features[:, :2], np.full((30, 1), 0.1)]),
        test_features=np.hstack([data.test_features, data.test_features[:, :2], np.full((25, 1), 0.1)]),
    )
    members = subsets(4, 30)
    members[3] = False
    members[3, :3] = True  # three members, seven features
    found = ridge_learner(RidgeSpec(alpha=0.0), doubled).retrain(members, None)
    for k, row in enumerate(members):
        test, _ = oracle_losses(doubled, row, LinearRegression())
        np.testing.assert_allclose(found.test["squared_error"][k], test, rtol=1e-4, atol=1e-6)


def test_a_hardly_penalised_singular_design_keeps_its_figures():
    random = np.random.default_rng(0)
    base = random.normal(size=(40, 1))
    features = np.hstack([base, base + 1e-9 * random.normal(size=(40, 1)), 1e6 * random.normal(size=(40, 1))])
    targets = base[:, 0] + 1e-6 * features[:, 2] + 0.01 * random.normal(size=40)
    coefficients, intercept = ridge_fit(Gathered(features, targets, np.ones(40)), RidgeSpec(alpha=1e-6))
    oracle = Ridge(alpha=1e-6, solver="svd").fit(features, targets)
    np.testing.assert_allclose(features @ coefficients + intercept, oracle.predict(features), rtol=1e-6, atol=1e-7)


def test_no_row_depends_on_its_neighbours_or_their_number():
    data = regression_data(n=70, d=9)
    learner = ridge_learner(RidgeSpec(), data)
    members = subsets(33, 70)
    members[4], members[5] = False, True
    together = learner.retrain(members, None)
    for k in (0, 3, 4, 5, 17, 32):
        assert_row_of(together, k, learner.retrain(members[k : k + 1], None))
    shuffled = np.random.default_rng(0).permutation(33)
    moved = learner.retrain(members[shuffled], None)
    for place, k in enumerate(shuffled[:8]):
        assert_row_of(moved, place, learner.retrain(members[k : k + 1], None))


def test_the_order_of_the_training_file_does_not_matter():
    data = regression_data()
    moved = np.random.default_rng(3).permutation(data.n)
    ordered = dataclasses.replace(data, order=np.argsort(data.train_features[:, 0]))
    reordered = dataclasses.replace(
        data,
        train_features=data.train_features[moved],
        train_labels=data.train_labels[moved],
        order=np.argsort(data.train_features[moved, 0]),
    )
    members = np.concatenate([subsets(5, data.n), ~np.eye(data.n, dtype=bool)[:5], np.ones((1, data.n), dtype=bool)])
    members[5, 7] = False
    one = ridge_learner(RidgeSpec(), ordered).retrain(members, None)
    other = ridge_learner(RidgeSpec(), reordered).retrain(members[:, moved], None)
    assert one.test["squared_error"].tobytes() == other.test["squared_error"].tobytes()


def test_train_losses_can_be_left_out():
    data = regression_data()
    assert ridge_learner(RidgeSpec(train_losses=False), data).retrain(subsets(2, data.n), None).train is None


def test_classes_are_refused_with_the_learner_to_take():
    with pytest.raises(LearnerError, match="use logistic_regression"):
        ridge_learner(RidgeSpec(), classification_data())
