"""Logistic regression on many subsets, against scikit-learn, stationarity and hand-made limits."""

import dataclasses

import numpy as np
import pytest
from learner_data import assert_row_of, classification_data, regression_data, subsets
from sklearn.linear_model import LogisticRegression

from workers.errors import LearnerError
from workers.learner_specs import LogisticRegressionSpec
from workers.learners.logistic_regression import logistic_regression_learner
from workers.losses import PROBABILITY_FLOOR


def tight(**options):
    return LogisticRegressionSpec(gradient_tolerance=1e-10, **options)


def oracle(data, row, *, c=1.0, intercept=True, tol=1e-10):
    """Cross-entropies of the test instances, by scikit-learn."""
    solver = "newton-cholesky" if tol < 1e-6 else "lbfgs"  # lbfgs stops at a relative change of its objective
    model = LogisticRegression(C=c, fit_intercept=intercept, tol=tol, max_iter=20000, solver=solver)
    weights = None if data.weights is None else data.weights[row]
    model.fit(data.train_features[row], data.train_labels[row], sample_weight=weights)
    probabilities = model.predict_proba(data.test_features)
    return -np.log(np.maximum(probabilities[np.arange(data.n_test), data.test_labels], PROBABILITY_FLOOR))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("c", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_equal_those_of_scikit_learn_at_a_tight_tolerance(classes, intercept, c, weighted):
    weights = np.random.default_rng(5).uniform(0.1, 3.0, 90) if weighted else None
    data = classification_data(classes=classes, weights=weights)
    members = subsets(4, data.n)
    learner = logistic_regression_learner(tight(c=c, fit_intercept=intercept), data)
    found = learner.retrain(members, None).test["cross_entropy"]
    for k, row in enumerate(members):
        expected = oracle(data, row, c=c, intercept=intercept)
        np.testing.assert_allclose(found[k], expected, rtol=1e-6, atol=1e-6 * expected.max())


@pytest.mark.parametrize("classes", [2, 3])
def test_at_the_default_tolerances_mean_losses_agree_to_a_thousandth(classes):
    data = classification_data(classes=classes)
    members = subsets(4, data.n)
    found = logistic_regression_learner(LogisticRegressionSpec(), data).retrain(members, None).test["cross_entropy"]
    exact = logistic_regression_learner(tight(), data).retrain(members, None).test["cross_entropy"]
    for k, row in enumerate(members):
        np.testing.assert_allclose(found[k].mean(), oracle(data, row, tol=1e-4).mean(), rtol=1e-3)
        np.testing.assert_allclose(found[k], exact[k], rtol=1e-4, atol=1e-4 * exact[k].max())


def test_zero_one_and_train_losses_are_those_of_the_same_model():
    data = classification_data()
    row = subsets(1, data.n)
    found = logistic_regression_learner(tight(), data).retrain(row, None)
    model = LogisticRegression(tol=1e-10, max_iter=5000).fit(data.train_features[row[0]], data.train_labels[row[0]])
    np.testing.assert_array_equal(found.train["zero_one"][0], model.predict(data.train_features) != data.train_labels)
    own = model.predict_proba(data.train_features)[np.arange(data.n), data.train_labels]
    np.testing.assert_allclose(found.train["cross_entropy"][0], -np.log(own), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_empty_subset_has_equal_probabilities_of_all_classes(classes):
    data = classification_data(classes=classes)
    found = logistic_regression_learner(tight(), data).retrain(np.zeros((1, data.n), dtype=bool), None)
    np.testing.assert_allclose(found.test["cross_entropy"], np.log(classes), rtol=1e-6)
    np.testing.assert_array_equal(found.test["zero_one"][0], data.test_labels != 0)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_subset_of_one_class_holds_it_certain(classes):
    data = classification_data(classes=classes)
    row = (data.train_labels == 1)[None]
    found = logistic_regression_learner(tight(), data).retrain(row, None)
    expected = np.where(data.test_labels == 1, 0.0, -np.log(PROBABILITY_FLOOR))
    np.testing.assert_allclose(found.test["cross_entropy"][0], expected, rtol=1e-6, atol=1e-7)


def test_a_class_without_members_is_the_limit_of_one_whose_weight_vanishes():
    data = classification_data(classes=4, n=80)
    lacking = data.train_labels != 2
    faint = dataclasses.replace(data, weights=np.where(lacking, 1.0, 1e-12))
    spec = LogisticRegressionSpec(gradient_tolerance=1e-13, max_iterations=5000)
    without = logistic_regression_learner(spec, data).retrain(lacking[None], None).test["cross_entropy"][0]
    limit = logistic_regression_learner(spec, faint).retrain(np.ones((1, 80), dtype=bool), None)
    others = data.test_labels != 2
    np.testing.assert_allclose(without[others], limit.test["cross_entropy"][0][others], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(without[~others], -np.log(PROBABILITY_FLOOR), rtol=1e-6)


def test_without_an_intercept_a_subset_of_one_class_is_fitted_over_all_classes():
    data = classification_data(classes=2)
    row = data.train_labels == 1
    found = logistic_regression_learner(tight(fit_intercept=False), data).retrain(row[None], None)
    # a point of the other class without weight leaves the objective alone and lets scikit-learn fit
    weights = np.append(np.ones(row.sum()), 1e-300)
    features = np.vstack([data.train_features[row], np.zeros((1, 4))])
    model = LogisticRegression(fit_intercept=False, tol=1e-10, max_iter=5000)
    model.fit(features, np.append(np.ones(row.sum()), 0), sample_weight=weights)
    own = model.predict_proba(data.test_features)[np.arange(data.n_test), data.test_labels]
    np.testing.assert_allclose(found.test["cross_entropy"][0], -np.log(own), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_no_row_depends_on_its_neighbours_or_their_number(classes):
    data = classification_data(classes=classes, n=70, d=9)
    learner = logistic_regression_learner(LogisticRegressionSpec(), data)
    members = subsets(21, 70)
    members[4], members[5] = False, True
    members[6] = data.train_labels == 0
    members[7] = False
    members[7, [np.argmax(data.train_labels == 0), np.argmax(data.train_labels == 1)]] = True
    together = learner.retrain(members, None)
    for k in range(21):
        assert_row_of(together, k, learner.retrain(members[k : k + 1], None))
    moved = learner.retrain(members[::-1], None)
    assert moved.test["cross_entropy"][::-1].tobytes() == together.test["cross_entropy"].tobytes()


@pytest.mark.parametrize(("n", "d"), [(60, 30), (333, 30), (600, 12)])
@pytest.mark.parametrize("probability", [0.5, 0.03])
def test_groups_of_any_length_give_the_same_bits(n, d, probability):
    data = classification_data(classes=2, n=n, d=d)
    learner = logistic_regression_learner(LogisticRegressionSpec(c=0.1), data)
    members = subsets(40, n, probability=probability)
    together = learner.retrain(members, None)
    for k, length in ((0, 1), (39, 1), (5, 4), (39, 7), (25, 20)):
        part = learner.retrain(members[k - length + 1 : k + 1], None)
        assert part.test["cross_entropy"][-1].tobytes() == together.test["cross_entropy"][k].tobytes()
        assert part.train["cross_entropy"][-1].tobytes() == together.train["cross_entropy"][k].tobytes()


def test_shared_rows_and_own_rows_end_at_the_same_minimum(monkeypatch):
    data = classification_data(classes=3, n=120, d=6)
    members = subsets(8, data.n)
    learner = logistic_regression_learner(tight(), data)
    found = []
    kinds = []
    for cost in (0.0, 2.0):
        monkeypatch.setattr("workers.learners.logistic_objective.SHARED_COST", {3: cost})
        kinds.append(learner.rows.kind(learner.rows.problems(members[:1], fit_intercept=True)[0]))
        found.append(learner.retrain(members, None).test["cross_entropy"])
    assert kinds[0] == 0 < kinds[1]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("classes", [2, 3])
def test_separable_data_with_hardly_any_penalty_reach_the_tolerance(classes):
    data = classification_data(classes=classes)
    far = dataclasses.replace(data, train_features=data.train_features + 20.0 * data.train_labels[:, None])
    spec = LogisticRegressionSpec(c=1e6)
    row = subsets(1, data.n)
    found = logistic_regression_learner(spec, far).trained(row, None)
    coefficients = found["coefficients"][0]
    features = np.hstack([far.train_features[row[0]], np.ones((row.sum(), 1))])
    logits = features @ coefficients.T
    if classes == 2:
        logits = np.hstack([np.zeros_like(logits), logits])
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    residuals = shifted / shifted.sum(axis=1, keepdims=True) - np.eye(classes)[far.train_labels[row[0]]]
    gradient = (residuals.T @ features / len(features))[classes == 2 :]
    gradient[:, :-1] += coefficients[:, :-1] / (1e6 * len(features))
    assert np.abs(gradient).max() <= spec.gradient_tolerance


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4, 3e-6])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_wide_tolerances_hold_in_float64_too(tolerance, scale):
    data = classification_data(classes=3)
    data = dataclasses.replace(data, train_features=data.train_features * scale)
    spec = LogisticRegressionSpec(gradient_tolerance=tolerance)
    learner, members = logistic_regression_learner(spec, data), subsets(12, data.n)
    for row, own in zip(members, learner.trained(members, None)["coefficients"], strict=True):
        features = np.c_[data.train_features[row], np.ones(row.sum())]
        logits = features @ own.T
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        penalty = own * np.append(np.ones(own.shape[1] - 1), 0.0)
        gradient = ((probabilities - np.eye(3)[data.train_labels[row]]).T @ features + penalty) / row.sum()
        assert np.abs(gradient).max() <= tolerance


def test_features_that_are_not_finite_spoil_the_subsets_that_hold_them_alone():
    data = classification_data(classes=2)
    spoilt = data.train_features.copy()
    spoilt[3] = np.nan
    learner = logistic_regression_learner(LogisticRegressionSpec(), dataclasses.replace(data, train_features=spoilt))
    row = subsets(1, data.n)
    row[0, 3] = False
    expected = logistic_regression_learner(tight(), data).retrain(row, None).test["cross_entropy"]
    np.testing.assert_allclose(learner.retrain(row, None).test["cross_entropy"], expected, rtol=1e-4, atol=1e-5)
    row[0, 3] = True
    with pytest.raises(LearnerError, match="gradient's largest component is nan"):
        learner.retrain(row, None)


@pytest.mark.parametrize("classes", [2, 3])
def test_duplicates_and_constant_columns_change_nothing_that_scikit_learn_does_not(classes):
    data = classification_data(classes=classes, n=40, d=3)
    doubled = dataclasses.replace(
        data,
        train_features=np.hstack([np.tile(data.train_features, (2, 2)), np.full((80, 1), 5.0)]),
        train_labels=np.tile(data.train_labels, 2),
        test_features=np.hstack([np.tile(data.test_features, (1, 2)), np.full((40, 1), 5.0)]),
    )
    row = subsets(1, 80)
    found = logistic_regression_learner(tight(), doubled).retrain(row, None).test["cross_entropy"][0]
    expected = oracle(doubled, row[0])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * expected.max())


@pytest.mark.parametrize(("classes", "d"), [(2, 140), (3, 1100)])
def test_many_features_take_other_ways_to_the_same_minimum(classes, d):
    data = classification_data(classes=classes, n=40, n_test=20, d=d)
    members = subsets(2, 40)
    found = logistic_regression_learner(tight(), data).retrain(members, None)
    for k, row in enumerate(members):
        expected = oracle(data, row, tol=1e-6)
        np.testing.assert_allclose(found.test["cross_entropy"][k], expected, rtol=1e-3, atol=1e-5)
    for k in range(2):
        assert_row_of(found, k, logistic_regression_learner(tight(), data).retrain(members[k : k + 1], None))


def test_unscaled_features_do_not_stop_it():
    data = classification_data(classes=3)
    scales = np.array([1e-4, 1.0, 1e3, 30.0])
    scaled = dataclasses.replace(
        data, train_features=data.train_features * scales, test_features=data.test_features * scales
    )
    found = logistic_regression_learner(tight(), scaled).retrain(subsets(3, data.n), None)
    assert np.isfinite(found.test["cross_entropy"]).all()


def test_a_gradient_that_does_not_fall_is_an_error_that_says_what_to_do():
    data = classification_data()
    spec = LogisticRegressionSpec(gradient_tolerance=1e-12, max_iterations=2)
    with pytest.raises(LearnerError, match=r"after 2 iterations.*raise max_iterations \(now 2\)"):
        logistic_regression_learner(spec, data).retrain(subsets(2, data.n), None)


def test_numbers_are_refused_with_the_learner_to_take():
    with pytest.raises(LearnerError, match="use ridge"):
        logistic_regression_learner(LogisticRegressionSpec(), regression_data())


def test_a_single_class_is_refused():
    data = dataclasses.replace(classification_data(), classes=("only",))
    with pytest.raises(LearnerError, match="two classes or more"):
        logistic_regression_learner(LogisticRegressionSpec(), data)
