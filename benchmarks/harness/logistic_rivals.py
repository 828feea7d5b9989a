"""Logistic regressions on subsets by others: a plain scikit-learn loop, and how far losses are from the exact ones."""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

from workers.dataset import Dataset
from workers.losses import PROBABILITY_FLOOR


def losses_of(data: Dataset, row: np.ndarray, model: LogisticRegression) -> np.ndarray:
    """Test losses of a model fitted on one subset."""
    model.fit(data.train_features[row], data.train_labels[row])
    probabilities = np.zeros((data.n_test, len(data.classes)))
    probabilities[:, model.classes_] = model.predict_proba(data.test_features)
    own = probabilities[np.arange(data.n_test), data.test_labels]
    return -np.log(np.maximum(own, PROBABILITY_FLOOR))


def looped(data: Dataset, members: np.ndarray, **options: object) -> np.ndarray:
    """Test losses [K, n_test] of scikit-learn's default solver, one subset after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array([losses_of(data, row, LogisticRegression(max_iter=5000, **options)) for row in members])


def exact(data: Dataset, members: np.ndarray) -> np.ndarray:
    """Test losses [K, n_test] by Newton's method to 1e-10."""
    return looped(data, members, solver="newton-cholesky", tol=1e-10)


def distances(found: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """Largest relative difference of a subset's mean loss, and of a single loss to the subset's mean loss."""
    means = wanted.mean(axis=1)
    return (
        float((np.abs(found.mean(axis=1) - means) / means).max()),
        float((np.abs(found - wanted).max(axis=1) / means).max()),
    )
