"""Gradient-boosted trees, against the libraries' own fits."""

import dataclasses
import sys

import numpy as np
import pytest
from learner_data import assert_row_of, classification_data, regression_data, seeds, subsets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from workers.errors import LearnerError
from workers.learner_specs import GradientBoostingSpec
from workers.learners import make_learner
from workers.losses import PROBABILITY_FLOOR

FEW = {"scikit_learn": {"max_iter": 5}, "xgboost": {"n_estimators": 5}, "lightgbm": {"n_estimators": 5}}
LIBRARIES = sorted(FEW)


def learner_of(library, data, **options):
    if library != "scikit_learn":
        pytest.importorskip(library)
    arguments = FEW[library] | options.pop("arguments", {})
    return make_learner(GradientBoostingSpec(library=library, arguments=arguments, **options), data)


def own_model(library, task):
    if library == "scikit_learn":
        return {"classification": HistGradientBoostingClassifier, "regression": HistGradientBoostingRegressor}[task](
            max_iter=5, random_state=4
        )
    prefix = {"xgboost": "XGB", "lightgbm": "LGBM"}[library]
    kind = getattr(
        pytest.importorskip(library), prefix + {"classification": "Classifier", "regression": "Regressor"}[task]
    )
    return kind(n_estimators=5, random_state=4, n_jobs=1, verbosity=0 if library == "xgboost" else -1)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_classifier_gives_the_losses_of_the_librarys_own_fit(library, weighted):
    weights = np.random.default_rng(5).uniform(0.1, 3.0, 90) if weighted else None
    data = classification_data(weights=weights)
    row = subsets(1, data.n)
    found = learner_of(library, data).retrain(row, seeds(1, 4)).test
    model = own_model(library, "classification")
    model.fit(
        data.train_features[row[0]], data.train_labels[row[0]], sample_weight=weights[row[0]] if weighted else None
    )
    own = model.predict_proba(data.test_features)[np.arange(data.n_test), data.test_labels]
    np.testing.assert_allclose(found["cross_entropy"][0], -np.log(np.maximum(own, PROBABILITY_FLOOR)), rtol=1e-5)
    np.testing.assert_array_equal(found["zero_one"][0], model.predict(data.test_features) != data.test_labels)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_regressor_gives_the_errors_of_the_librarys_own_fit(library):
    data = regression_data()
    row = subsets(1, data.n)
    found = learner_of(library, data).retrain(row, seeds(1, 4)).test["squared_error"][0]
    model = own_model(library, "regression").fit(data.train_features[row[0]], data.train_labels[row[0]])
    expected = np.square(model.predict(data.test_features).astype(float) - data.test_labels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_subset_without_a_class_and_degenerate_ones_are_predicted_over_all_classes(library):
    data = classification_data()
    members = np.stack([data.train_labels != 1, np.zeros(data.n, dtype=bool), data.train_labels == 2])
    found = learner_of(library, data).retrain(members, seeds(3)).test["cross_entropy"]
    highest = -np.log(PROBABILITY_FLOOR)
    np.testing.assert_allclose(found[0][data.test_labels == 1], highest, rtol=1e-6)
    assert found[0][data.test_labels != 1].mean() < 2.0
    np.testing.assert_allclose(found[1], np.log(3), rtol=1e-6)
    np.testing.assert_allclose(found[2], np.where(data.test_labels == 2, 0.0, highest), rtol=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
def test_rows_depend_on_subset_and_seed_alone(library):
    data = classification_data()
    arguments = {
        "scikit_learn": {"max_features": 0.5},
        "xgboost": {"subsample": 0.5},
        "lightgbm": {"colsample_bytree": 0.5},
    }
    learner = learner_of(library, data, arguments=arguments[library])
    members, numbers = np.ones((3, data.n), dtype=bool), np.array([5, 2**63 + 5, 6], dtype=np.uint64)
    together = learner.retrain(members, numbers)
    losses = together.test["cross_entropy"]
    assert losses[0].tobytes() == losses[1].tobytes() != losses[2].tobytes()
    for k in range(3):
        assert_row_of(together, k, learner.retrain(members[k : k + 1], numbers[k : k + 1]))


@pytest.mark.parametrize("library", LIBRARIES)
def test_missing_values_are_the_librarys_to_handle(library):
    data = classification_data()
    features = data.train_features.copy()
    features[::3, 1] = np.nan
    found = learner_of(library, dataclasses.replace(data, train_features=features)).retrain(subsets(2, 90), seeds(2))
    assert all(np.isfinite(losses).all() for losses in (*found.test.values(), *found.train.values()))


def test_a_library_that_is_not_there_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(LearnerError, match=r"xgboost is not installed.*apportion\[trees\].*library: scikit_learn"):
        make_learner(GradientBoostingSpec(library="xgboost"), classification_data())


@pytest.mark.parametrize(
    ("library", "arguments", "message"),
    [
        ("scikit_learn", {"max_itre": 3}, "did you mean max_iter"),
        ("scikit_learn", {"random_state": 3}, "set from learner.seed"),
        ("xgboost", {"n_jobs": 4}, "n_jobs is 1: leave it out"),
        ("lightgbm", {"num_leafs": 4}, "did you mean num_leaves"),
    ],
)
def test_wrong_arguments_are_refused(library, arguments, message):
    with pytest.raises(LearnerError, match=message):
        learner_of(library, classification_data(), arguments=arguments)
