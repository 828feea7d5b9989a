"""Any scikit-learn estimator, against fitting it by hand."""

import dataclasses
import re

import numpy as np
import pytest
from learner_data import assert_row_of, classification_data, regression_data, seeds, subsets
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from workers.errors import LearnerError
from workers.learner_specs import ScikitLearnSpec
from workers.learners import make_learner
from workers.losses import PROBABILITY_FLOOR

FOREST = "sklearn.ensemble.RandomForestClassifier"
TREE = "sklearn.tree.DecisionTreeRegressor"


def learner_of(name, data, losses=(), train_losses=True, **arguments):
    spec = ScikitLearnSpec(estimator=name, arguments=arguments, losses=losses, train_losses=train_losses)
    return make_learner(spec, data)


def test_a_classifier_gives_the_losses_of_its_probabilities():
    data = classification_data()
    row = subsets(1, data.n)
    found = learner_of(FOREST, data, n_estimators=7).retrain(row, seeds(1, 42))
    model = RandomForestClassifier(n_estimators=7, random_state=42)
    model.fit(data.train_features[row[0]], data.train_labels[row[0]])
    probabilities = np.maximum(model.predict_proba(data.test_features), PROBABILITY_FLOOR)
    own = probabilities[np.arange(data.n_test), data.test_labels]
    np.testing.assert_allclose(found.test["cross_entropy"][0], -np.log(own), rtol=1e-6)
    np.testing.assert_array_equal(found.test["zero_one"][0], model.predict(data.test_features) != data.test_labels)
    clipped = np.maximum(model.predict_proba(data.train_features), PROBABILITY_FLOOR)
    expected = log_loss(data.train_labels, clipped / clipped.sum(axis=1, keepdims=True), labels=[0, 1, 2])
    np.testing.assert_allclose(found.train["cross_entropy"][0].mean(), expected, rtol=1e-5)


def test_a_classifier_without_probabilities_gives_zero_one_alone():
    data = classification_data()
    row = subsets(1, data.n)
    learner = learner_of("sklearn.svm.LinearSVC", data)
    assert learner.losses == ("zero_one",)
    model = LinearSVC(random_state=3).fit(data.train_features[row[0]], data.train_labels[row[0]])
    expected = model.predict(data.test_features) != data.test_labels
    np.testing.assert_array_equal(learner.retrain(row, seeds(1, 3)).test["zero_one"][0], expected)


def test_a_regressor_gives_errors_of_its_predictions():
    data = regression_data()
    row = subsets(1, data.n)
    learner = learner_of("sklearn.neighbors.KNeighborsRegressor", data, losses=("absolute_error",), n_neighbors=3)
    model = KNeighborsRegressor(n_neighbors=3).fit(data.train_features[row[0]], data.train_labels[row[0]])
    expected = np.abs(model.predict(data.test_features) - data.test_labels)
    np.testing.assert_allclose(learner.retrain(row, seeds(1)).test["absolute_error"][0], expected, rtol=1e-6)


def test_random_states_follow_the_retrains_seed_and_make_it_random():
    data = classification_data()
    learner = learner_of(FOREST, data, n_estimators=3)
    assert not learner.traits.deterministic
    row = np.ones((3, data.n), dtype=bool)
    losses = learner.retrain(row, np.array([5, 2**63 + 5, 6], dtype=np.uint64)).test["cross_entropy"]
    assert losses[0].tobytes() == losses[1].tobytes()  # seeds are taken modulo 2**31
    assert losses[0].tobytes() != losses[2].tobytes()
    assert learner_of("sklearn.neighbors.KNeighborsClassifier", data).traits.deterministic


def test_a_row_trained_among_others_has_the_bits_of_one_trained_alone():
    data = classification_data()
    learner = learner_of(FOREST, data, n_estimators=3)
    members, numbers = subsets(4, data.n), seeds(4, 9)
    together = learner.retrain(members, numbers)
    for k in range(4):
        assert_row_of(together, k, learner.retrain(members[k : k + 1], numbers[k : k + 1]))


def test_members_are_listed_by_identity():
    data = regression_data()
    order = np.random.default_rng(0).permutation(data.n)
    row = subsets(1, data.n)
    learner = learner_of(TREE, dataclasses.replace(data, order=order), max_features=1)
    model = DecisionTreeRegressor(max_features=1, random_state=1)
    chosen = order[row[0][order]]
    model.fit(data.train_features[chosen], data.train_labels[chosen])
    expected = np.square(model.predict(data.test_features) - data.test_labels)
    np.testing.assert_allclose(learner.retrain(row, seeds(1, 1)).test["squared_error"][0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", [FOREST, "sklearn.svm.LinearSVC"])
def test_degenerate_subsets_have_declared_answers(name):
    data = classification_data()
    members = np.stack([np.zeros(data.n, dtype=bool), data.train_labels == 2])
    found = learner_of(name, data).retrain(members, seeds(2)).test
    np.testing.assert_array_equal(found["zero_one"][0], data.test_labels != 0)
    np.testing.assert_array_equal(found["zero_one"][1], data.test_labels != 2)
    if "cross_entropy" in found:
        np.testing.assert_allclose(found["cross_entropy"][0], np.log(3), rtol=1e-6)
        expected = np.where(data.test_labels == 2, 0.0, -np.log(PROBABILITY_FLOOR))
        np.testing.assert_allclose(found["cross_entropy"][1], expected, rtol=1e-6)


def test_a_class_that_the_subset_lacks_has_probability_zero_and_the_others_keep_theirs():
    data = classification_data()
    row = data.train_labels != 1
    found = learner_of("sklearn.naive_bayes.GaussianNB", data).retrain(row[None], seeds(1)).test["cross_entropy"][0]
    np.testing.assert_allclose(found[data.test_labels == 1], -np.log(PROBABILITY_FLOOR), rtol=1e-6)
    assert found[data.test_labels != 1].mean() < 2.0


def test_the_empty_subset_of_a_regression_predicts_zero():
    data = regression_data()
    found = learner_of(TREE, data).retrain(np.zeros((1, data.n), dtype=bool), seeds(1))
    np.testing.assert_allclose(found.test["squared_error"][0], np.square(data.test_labels), rtol=1e-6)


def test_weights_reach_the_estimator():
    weights = np.random.default_rng(0).uniform(0.1, 3.0, 60)
    data = regression_data(weights=weights)
    row = subsets(1, data.n)
    model = DecisionTreeRegressor(max_depth=2, random_state=0)
    model.fit(data.train_features[row[0]], data.train_labels[row[0]], sample_weight=weights[row[0]])
    expected = np.square(model.predict(data.test_features) - data.test_labels)
    found = learner_of(TREE, data, max_depth=2).retrain(row, seeds(1)).test["squared_error"][0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os.system", "Python's own library"),
        ("subprocess.Popen", "Python's own library"),
        ("no_such_package_anywhere.Model", "no installed package has the module no_such_package_anywhere"),
        ("Ridge", "no dotted name"),
        ("sklearn.ensamble.RandomForestClassifier", "did you mean sklearn.ensemble"),
        ("sklearn.ensemble.RandomForrestClassifier", "did you mean RandomForestClassifier"),
        ("numpy.linalg.norm", "no scikit-learn estimator class"),
        ("sklearn.metrics.log_loss", "no scikit-learn estimator class"),
        ("sklearn.cluster.KMeans", "neither classifier nor regressor"),
        ("sklearn.linear_model.Ridge", "is a regressor, but data.task is classification"),
    ],
)
def test_names_that_are_no_fitting_estimator_are_refused(name, message):
    with pytest.raises(LearnerError, match=re.escape(message)):
        learner_of(name, classification_data())


def test_a_module_outside_installed_packages_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LearnerError, match="no installed package has the module stranger"):
        learner_of("stranger.Model", classification_data())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_estimatorz": 3}, "did you mean n_estimators"),
        ({"random_state": 3}, "set from learner.seed"),
        ({"n_jobs": 2}, "n_jobs is 1, since the workers"),
        ({"losses": ("squared_error",)}, "cannot be kept"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(LearnerError, match=message):
        learner_of(FOREST, classification_data(), **options)


def test_probabilities_asked_of_a_classifier_without_are_refused():
    with pytest.raises(LearnerError, match=r"cross_entropy needs class probabilities.*keep zero_one alone"):
        learner_of("sklearn.svm.LinearSVC", classification_data(), losses=("cross_entropy", "zero_one"))


def test_weights_for_an_estimator_that_takes_none_are_refused():
    data = classification_data(weights=np.ones(90))
    with pytest.raises(LearnerError, match="takes no sample_weight"):
        learner_of("sklearn.neighbors.KNeighborsClassifier", data)
