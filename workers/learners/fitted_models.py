"""What a fitted scikit-learn estimator, or its stand-in on a degenerate subset, answers: losses of instances."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from estimators.arrays import AnyArray, Float32Array
from workers.errors import LearnerError
from workers.losses import classification_losses, clipped_logarithms, label_losses, regression_losses


class Estimator(Protocol):
    """What is used of a scikit-learn estimator."""

    classes_: AnyArray

    def fit(self, X: AnyArray, y: AnyArray, sample_weight: AnyArray | None = None) -> Self:
        """Train."""
        ...

    def predict(self, X: AnyArray) -> AnyArray:
        """Class codes or numbers [rows]."""
        ...

    def predict_proba(self, X: AnyArray) -> AnyArray:
        """Probabilities [rows, classes_]."""
        ...

    def set_params(self, **params: int) -> Self:
        """Change options."""
        ...


class FittedModel(Protocol):
    """Gives losses."""

    def losses(self, names: tuple[str, ...], features: AnyArray, labels: AnyArray) -> dict[str, Float32Array]:
        """The losses named, each [rows] float32."""
        ...


@dataclass(frozen=True, slots=True)
class Probabilities:
    """A classifier with class probabilities; classes that it has not seen have probability 0 (clipped)."""

    estimator: Estimator
    classes: int

    def losses(self, names: tuple[str, ...], features: AnyArray, labels: AnyArray) -> dict[str, Float32Array]:
        """Losses from probabilities over D's classes."""
        probabilities = np.zeros((len(labels), self.classes))
        probabilities[:, self.estimator.classes_] = self.estimator.predict_proba(features)
        return classification_losses(names, clipped_logarithms(probabilities), labels)


@dataclass(frozen=True, slots=True)
class Labels:
    """A classifier that gives labels alone."""

    estimator: Estimator

    def losses(self, names: tuple[str, ...], features: AnyArray, labels: AnyArray) -> dict[str, Float32Array]:
        """zero_one of the labels predicted."""
        return dict.fromkeys(names, label_losses(self.estimator.predict(features), labels))


@dataclass(frozen=True, slots=True)
class Certain:
    """A subset of a single class predicts it with certainty; the empty subset (None) has equal probabilities."""

    classes: int
    label: int | None

    def losses(self, names: tuple[str, ...], features: AnyArray, labels: AnyArray) -> dict[str, Float32Array]:
        """Losses of one distribution for all instances."""
        del features
        one = np.full(self.classes, 1.0 / self.classes) if self.label is None else np.eye(self.classes)[self.label]
        return classification_losses(names, clipped_logarithms(np.tile(one, (len(labels), 1))), labels)


@dataclass(frozen=True, slots=True)
class Regression:
    """A regressor; the empty subset (None) predicts 0."""

    estimator: Estimator | None

    def losses(self, names: tuple[str, ...], features: AnyArray, labels: AnyArray) -> dict[str, Float32Array]:
        """Losses of the numbers predicted."""
        if self.estimator is None:
            return regression_losses(names, np.zeros(len(labels)), labels)
        predicted = np.asarray(self.estimator.predict(features), dtype=np.float64)
        if predicted.size != len(labels):
            raise LearnerError(
                f"{type(self.estimator).__name__} predicts {list(predicted.shape)} for {len(labels)} instances; one"
                " number an instance is wanted"
            )
        return regression_losses(names, predicted.reshape(len(labels)), labels)
