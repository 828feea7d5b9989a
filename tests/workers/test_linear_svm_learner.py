"""Linear support vector machines on many subsets, against scikit-learn, stationarity and hand-made limits."""

import dataclasses

import numpy as np
import pytest
from learner_data import assert_row_of, classification_data, regression_data, subsets
from sklearn.svm import LinearSVC

from workers.errors import LearnerError
from workers.learner_specs import LinearSvmSpec
from workers.learners.linear_svm import linear_svm_learner


def weighted(seed, n):
    return np.random.default_rng(seed).uniform(0.1, 3.0, n)


def fitted_by_scikit_learn(data, row, *, c, intercept=True, most=200_000):
    weights = None if data.weights is None else data.weights[row]
    model = LinearSVC(C=c, fit_intercept=intercept, tol=1e-12, max_iter=most, dual=False)
    return model.fit(data.train_features[row], data.train_labels[row], sample_weight=weights)


def scores_of(model, features):
    scores = model.decision_function(features)
    return scores[:, None] if scores.ndim == 1 else scores


def signs_of(labels, classes):
    return (2.0 * labels - 1.0)[:, None] if classes == 2 else 2.0 * np.eye(classes)[labels] - 1.0


def squared_hinges(scores, labels, classes):
    return np.square(np.maximum(1.0 - signs_of(labels, classes) * scores, 0.0)).sum(axis=1)


def columns(features, *, intercept=True):
    return np.hstack([features, np.ones((len(features), 1))]) if intercept else features


def gradient_and_objective(data, row, coefficients, c):
    """Of the members of `row`, by the formula alone; [B, D] and [B]."""
    features, labels = columns(data.train_features[row]), data.train_labels[row]
    weights = np.ones(row.sum()) if data.weights is None else data.weights[row]
    signs = signs_of(labels, len(data.classes))
    slack = np.maximum(1.0 - signs * (features @ coefficients.T), 0.0)
    gradient = coefficients - 2.0 * c * (signs * slack * weights[:, None]).T @ features
    return gradient, 0.5 * np.square(coefficients).sum(axis=1) + c * (weights[:, None] * np.square(slack)).sum(axis=0)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("c", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("weights", [None, weighted(5, 90)])
def test_losses_equal_those_of_scikit_learn_at_a_tight_tolerance(classes, intercept, c, weights):
    data = classification_data(classes=classes, weights=weights)
    members = subsets(4, data.n)
    found = linear_svm_learner(LinearSvmSpec(c=c, fit_intercept=intercept), data).retrain(members, None)
    for k, row in enumerate(members):
        model = fitted_by_scikit_learn(data, row, c=c, intercept=intercept)
        expected = squared_hinges(scores_of(model, data.test_features), data.test_labels, classes)
        np.testing.assert_allclose(found.test["squared_hinge"][k], expected, rtol=1e-4, atol=1e-5 * expected.max())
        wrong = model.predict(data.test_features) != data.test_labels
        np.testing.assert_array_equal(found.test["zero_one"][k], wrong)
        own = squared_hinges(scores_of(model, data.train_features), data.train_labels, classes)
        np.testing.assert_allclose(found.train["squared_hinge"][k], own, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.filterwarnings("ignore:Liblinear failed to converge")  # its objective is only looked at
@pytest.mark.parametrize("d", [4, 130])
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_gradient_vanishes_to_rounding_and_no_objective_is_lower(d, c, classes):
    data = classification_data(d=d, classes=classes, weights=weighted(6, 90))
    scales = np.geomspace(1e-2, 1e2, d)
    data = dataclasses.replace(data, train_features=data.train_features * scales, test_features=data.test_features)
    for row in subsets(3, data.n):
        found = linear_svm_learner(LinearSvmSpec(c=c), data).trained(row[None], None)["coefficients"][0]
        gradient, objective = gradient_and_objective(data, row, found, c)
        terms = 2.0 * c * np.abs(columns(data.train_features[row])).T @ data.weights[row]
        assert (np.abs(gradient) <= 1e-11 * (terms + 0.01 * terms.max())).all()
        model = fitted_by_scikit_learn(data, row, c=c, most=500)
        theirs = np.hstack([model.coef_, model.intercept_[:, None]])
        assert (objective <= gradient_and_objective(data, row, theirs, c)[1] * (1 + 1e-12)).all()


def test_members_that_contradict_each_other_leave_nothing_to_learn():
    data = classification_data(n=40, d=30, classes=2)
    features, labels = data.train_features.copy(), data.train_labels.copy()
    features[20:], labels[20:] = features[:20], 1 - labels[:20]
    twice = dataclasses.replace(data, train_features=features, train_labels=labels)
    row = np.zeros((1, 40), dtype=bool)
    row[0, [1, 2, 21, 22]] = True
    found = linear_svm_learner(LinearSvmSpec(), twice).retrain(row, None).test["squared_hinge"]
    np.testing.assert_allclose(found, 1.0, rtol=1e-6)


def test_margins_are_differences_of_scores():
    for classes in (2, 3):
        data = classification_data(classes=classes)
        row = subsets(1, data.n)
        found = linear_svm_learner(LinearSvmSpec(losses=("margin",)), data).retrain(row, None).test["margin"][0]
        scores = scores_of(fitted_by_scikit_learn(data, row[0], c=1.0), data.test_features)
        if classes == 2:
            expected = -signs_of(data.test_labels, 2)[:, 0] * scores[:, 0]
        else:
            others = np.where(np.eye(classes)[data.test_labels] == 1.0, -np.inf, scores)
            expected = others.max(axis=1) - scores[np.arange(data.n_test), data.test_labels]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_empty_subset_scores_0(classes):
    data = classification_data(classes=classes)
    found = linear_svm_learner(LinearSvmSpec(), data).retrain(np.zeros((1, data.n), dtype=bool), None)
    np.testing.assert_array_equal(found.test["squared_hinge"], np.full((1, data.n_test), 1 if classes == 2 else 4))
    np.testing.assert_array_equal(found.test["zero_one"][0], data.test_labels != 0)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_subset_of_one_class_predicts_it(classes):
    data = classification_data(classes=classes)
    row = (data.train_labels == 1)[None]
    found = linear_svm_learner(LinearSvmSpec(), data).retrain(row, None)
    np.testing.assert_array_equal(found.test["zero_one"][0], data.test_labels != 1)
    assert (found.train["squared_hinge"][0][row[0]] < 1.0).all()


def test_a_class_without_members_is_not_predicted_and_the_others_are_as_without_it():
    data = classification_data(classes=3, n=80)
    row = data.train_labels != 2
    found = linear_svm_learner(LinearSvmSpec(), data).retrain(row[None], None)
    model = fitted_by_scikit_learn(data, row, c=1.0)  # of two classes
    np.testing.assert_array_equal(found.test["zero_one"][0], model.predict(data.test_features) != data.test_labels)
    held = row.nonzero()[0]
    alone = dataclasses.replace(
        data, train_features=data.train_features[held], train_labels=data.train_labels[held], classes=data.classes[:2]
    )
    models = linear_svm_learner(LinearSvmSpec(), alone).trained(np.ones((1, len(held)), dtype=bool), None)
    of_three = linear_svm_learner(LinearSvmSpec(), data).trained(row[None], None)
    np.testing.assert_allclose(of_three["coefficients"][0, 1], models["coefficients"][0, 0], rtol=1e-9, atol=1e-12)


def test_an_instance_of_weight_0_is_not_there():
    data = classification_data(classes=3)
    lacking = np.ones(data.n, dtype=bool)
    lacking[::3] = False
    weightless = dataclasses.replace(data, weights=lacking.astype(np.float64))
    plain = linear_svm_learner(LinearSvmSpec(), data).retrain(lacking[None], None)
    found = linear_svm_learner(LinearSvmSpec(), weightless).retrain(np.ones((1, data.n), dtype=bool), None)
    assert found.test["squared_hinge"].tobytes() == plain.test["squared_hinge"].tobytes()


@pytest.mark.parametrize(("classes", "d"), [(2, 9), (3, 9), (10, 9), (2, 90), (3, 90)])
def test_no_row_depends_on_its_neighbours_or_their_number(classes, d):
    data = classification_data(classes=classes, n=130, n_test=65 - 130 % 64, d=d)
    learner = linear_svm_learner(LinearSvmSpec(), data)
    members = np.concatenate([subsets(17, 130), subsets(17, 130, probability=0.1, seed=2)])
    members[4], members[5] = False, True
    members[6] = data.train_labels == 0
    together = learner.retrain(members, None)
    for k in (0, 4, 5, 6, 7, 16, 17, 33):
        assert_row_of(together, k, learner.retrain(members[k : k + 1], None))
    moved = learner.retrain(members[::-1], None)
    assert moved.test["squared_hinge"][::-1].tobytes() == together.test["squared_hinge"].tobytes()
    part = learner.retrain(members[3:16], None)
    assert part.train["squared_hinge"].tobytes() == together.train["squared_hinge"][3:16].tobytes()


@pytest.mark.parametrize("most", [2**10, 2**24])
def test_how_many_subsets_share_a_stack_moves_no_bit(monkeypatch, most):
    data = classification_data(classes=3, n=120)
    members = subsets(30, 120)
    expected = linear_svm_learner(LinearSvmSpec(), data).retrain(members, None).test["squared_hinge"]
    monkeypatch.setattr("workers.learners.svm_newton.ELEMENTS_TOGETHER", most)
    found = linear_svm_learner(LinearSvmSpec(), data).retrain(members, None).test["squared_hinge"]
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e200])
def test_features_that_are_no_use_spoil_the_subsets_that_hold_them_alone(value):
    data = classification_data(classes=2)
    spoilt = data.train_features.copy()
    spoilt[3] = value
    row = subsets(1, data.n)
    row[0, 3] = False
    learner = linear_svm_learner(LinearSvmSpec(train_losses=False), dataclasses.replace(data, train_features=spoilt))
    expected = linear_svm_learner(LinearSvmSpec(train_losses=False), data).retrain(row, None)
    assert_row_of(learner.retrain(row, None), 0, expected)
    row[0, 3] = True
    with pytest.raises(LearnerError, match=r"linear_svm: a subset of .* features"):
        learner.retrain(row, None)


def test_numbers_are_refused_with_the_learner_to_take():
    with pytest.raises(LearnerError, match=r"linear_svm predicts classes.*use ridge"):
        linear_svm_learner(LinearSvmSpec(), regression_data())


def test_losses_of_probabilities_are_refused_by_name():
    with pytest.raises(LearnerError, match=r"cross_entropy cannot be kept.*squared_hinge, zero_one, margin"):
        linear_svm_learner(LinearSvmSpec(losses=("cross_entropy",)), classification_data())
