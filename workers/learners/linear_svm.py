"""L2-regularised linear support vector machines with squared hinge loss on many subsets, side by side.

Minimises ||w||^2 / 2 + c sum_i w_i max(0, 1 - y_i f(x_i))^2, scikit-learn's LinearSVC: f is linear in the features and
in a constant 1, whose coefficient, the intercept, is penalised like the others (as in liblinear: Fan et al., JMLR
2008). Two classes have one f; more have one each against the rest.

The objective has one minimum on any subset, which is found to rounding. The empty subset's is 0, which predicts the
first of D's classes. A class that a subset lacks has a problem without positive instances, and is never predicted.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import BoolArray, SeedArray
from workers.dataset import Dataset
from workers.keeping import Models, part_of
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import LinearSvmSpec
from workers.learners.evaluated_rows import EvaluatedRows
from workers.learners.hinge_losses import HingeLosses
from workers.learners.linear_classifiers import check_classes, evaluated
from workers.learners.linear_data import linear_data
from workers.learners.on_linear_data import OnLinearData
from workers.learners.svm_newton import fitted
from workers.losses import kept_losses
from workers.numeric_class import numpy_class

ARITHMETIC_VERSION: Final = 2
PARAMETERS_TOGETHER: Final = 2**16
MOST_TOGETHER: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSvmLearner(OnLinearData):
    """K support vector machines. Row k depends on members[k] alone, and so do its bits."""

    spec: LinearSvmSpec
    evaluated: EvaluatedRows
    classes: int
    scores: int

    @property
    def traits(self) -> LearnerTraits:
        """What the learner declares of itself."""
        return LearnerTraits(deterministic=True, membership="gathers", together=True)

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of K machines, on members [K, n]; the seeds are not used.

        Raises:
            LearnerError: one does not arrive, see `svm_newton`.
        """
        return self.losses_of(self.trained(members, seeds))

    def trained(self, members: BoolArray, seeds: SeedArray) -> Models:
        """Models of K machines.

        coefficients: [K, B, D], B = 1 for two classes, else C; the last of D is the intercept. absent: [K, C] 1 where
        the subset lacks a class.
        """
        del seeds
        subsets = [self.data.gathered(row) for row in members]
        held = [np.bincount(own.labels, minlength=self.classes) > 0 for own in subsets]
        absent = [~own & own.any() for own in held]
        return {
            "coefficients": fitted(subsets, classes=self.classes, c=self.spec.c),
            "absent": np.array(absent, dtype=np.float64).reshape(-1, self.classes),
        }

    def losses_of(self, models: Models) -> Losses:
        """Losses of kept models, see `workers.keeping`."""
        coefficients = part_of(models, "coefficients", (None, self.scores, self.data.features.shape[1]))
        absent = part_of(models, "absent", (len(coefficients), self.classes)) == 1.0
        losses = self.evaluated.losses(self.losses, coefficients, HingeLosses(self.losses, absent))
        test = {name: values[:, : self.n_test] for name, values in losses.items()}
        train = {name: values[:, self.n_test :] for name, values in losses.items()}
        return Losses(test=test, train=train if self.spec.train_losses else None)


def linear_svm_learner(spec: LinearSvmSpec, data: Dataset, *, together: int | None = None) -> LinearSvmLearner:
    """The learner on a data set; `together` = K over the spec's. Raises LearnerError where the labels do not fit."""
    check_classes(data, spec.kind)
    asked = spec.together if together is None else together
    flat = linear_data(data, constant_column=spec.fit_intercept)
    scores = 1 if len(data.classes) == 2 else len(data.classes)
    return LinearSvmLearner(
        spec=spec,
        data=flat,
        evaluated=evaluated(flat, train=spec.train_losses),
        classes=len(data.classes),
        scores=scores,
        losses=kept_losses(spec.losses, data.task, kind=spec.kind),
        together=_automatic(scores * flat.features.shape[1]) if asked == "auto" else asked,
        numeric_class=numpy_class(),
    )


def _automatic(parameters: int) -> int:
    """K from the number of a model's parameters: a block of scores near a cache's size."""
    return max(4, min(MOST_TOGETHER, PARAMETERS_TOGETHER // parameters) // 4 * 4)
