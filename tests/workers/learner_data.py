"""Small data sets for the learners' tests."""

import numpy as np

from workers.dataset import Dataset


def regression_data(n=60, n_test=25, d=5, *, seed=0, weights=None, offset=3.0, **options):
    random = np.random.default_rng(seed)
    features = random.normal(size=(n + n_test, d)) * random.uniform(0.5, 20.0, size=d) + offset
    targets = features @ random.normal(size=d) + random.normal(size=n + n_test) + 7.0
    return Dataset(
        "regression",
        train_features=features[:n],
        train_labels=targets[:n],
        test_features=features[n:],
        test_labels=targets[n:],
        weights=weights,
        **options,
    )


def classification_data(n=90, n_test=40, d=4, classes=3, *, seed=0, weights=None, **options):
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=n + n_test)
    centres = random.normal(size=(classes, d)) * 1.5
    features = centres[labels] + random.normal(size=(n + n_test, d))
    return Dataset(
        "classification",
        train_features=features[:n],
        train_labels=labels[:n],
        test_features=features[n:],
        test_labels=labels[n:],
        classes=tuple(f"class {label}" for label in range(classes)),
        weights=weights,
        **options,
    )


def subsets(count, n, *, seed=1, probability=0.5):
    return np.random.default_rng(seed).random((count, n)) < probability


def seeds(count, start=0):
    return np.arange(start, start + count, dtype=np.uint64)


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.tobytes() == other[name].tobytes(), name


def assert_row_of(together, row, alone):
    """Row `row` of losses trained together has the bits of losses trained alone."""
    assert_same_bits({name: values[row : row + 1] for name, values in together.test.items()}, dict(alone.test))
    if together.train is not None:
        assert_same_bits({name: values[row : row + 1] for name, values in together.train.items()}, dict(alone.train))
