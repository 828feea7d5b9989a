"""Ridge regression on many subsets: each one's own normal equations, solved exactly.

Minimises sum_i w_i (y_i - b0 - x_i b)^2 + alpha ||b||^2 over the members, the intercept b0 not penalised:
scikit-learn's `Ridge`. Hoerl & Kennard, Technometrics 1970, equation (2.1), on data centred by the members' weighted
means.
"""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import linalg

from estimators.arrays import BoolArray, FloatArray, SeedArray
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.keeping import Models, part_of
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import RidgeSpec
from workers.learners.linear_data import Gathered, LinearData, linear_data
from workers.losses import kept_losses, regression_losses
from workers.numeric_class import numpy_class

ARITHMETIC_VERSION: Final = 1
LEAST_RECIPROCAL_CONDITION: Final = 1e-8
"""Below it (of the scaled normal equations) a Cholesky solution would be wrong in float32's figures: SVD instead."""
PREDICTIONS_TOGETHER: Final = 2**17


@dataclass(frozen=True, slots=True)
class RidgeLearner:
    """K ridge regressions, exact for each subset; a singular design (alpha = 0) gets the solution of least norm.

    The empty subset, and one whose weights are all zero, predicts 0. Row k's bits depend on members[k] alone.
    """

    spec: RidgeSpec
    data: LinearData
    losses: tuple[str, ...]
    together: int
    numeric_class: str

    @property
    def n(self) -> int:
        """Length of a row of members."""
        return self.data.n

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return self.data.n_test

    @property
    def traits(self) -> LearnerTraits:
        """What the learner declares of itself."""
        return LearnerTraits(deterministic=True, membership="gathers", together=True)

    def with_together(self, together: int) -> "RidgeLearner":
        """The same learner with another K."""
        return dataclasses.replace(self, together=together)

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of K ridge regressions, on members [K, n]; the seeds are not used."""
        return self.losses_of(self.trained(members, seeds))

    def trained(self, members: BoolArray, seeds: SeedArray) -> Models:
        """Models of K regressions: `coefficients` [K, d] and `intercepts` [K]."""
        del seeds
        fits = [ridge_fit(self.data.gathered(row), self.spec) for row in members]
        coefficients = np.array([own for own, _ in fits]).reshape(len(fits), self.data.features.shape[1])
        return {"coefficients": coefficients, "intercepts": np.array([intercept for _, intercept in fits])}

    def losses_of(self, models: Models) -> Losses:
        """Losses of kept models, see `workers.keeping`."""
        coefficients = part_of(models, "coefficients", (None, self.data.features.shape[1]))
        intercepts = part_of(models, "intercepts", (len(coefficients),))
        predictions = np.empty((len(coefficients), len(self.data.features)))
        for k, (own, intercept) in enumerate(zip(coefficients, intercepts, strict=True)):
            predictions[k] = self.data.features @ own + intercept
        test, train = predictions[:, : self.n_test], predictions[:, self.n_test :]
        return Losses(
            test=regression_losses(self.losses, test, self.data.test_labels),
            train=regression_losses(self.losses, train, self.data.labels) if self.spec.train_losses else None,
        )


def ridge_learner(spec: RidgeSpec, data: Dataset, *, together: int | None = None) -> RidgeLearner:
    """The learner on a data set; `together` = K over the spec's. Raises LearnerError where labels are classes."""
    if data.task != "regression":
        raise LearnerError(
            "learner.kind: ridge predicts numbers, but the labels are classes: use logistic_regression, or write"
            " data.task: regression where the labels are numbers after all"
        )
    asked = spec.together if together is None else together
    flat = linear_data(data, constant_column=False)
    automatic = max(1, min(256, PREDICTIONS_TOGETHER // len(flat.features)))
    return RidgeLearner(
        spec=spec,
        data=flat,
        losses=kept_losses(spec.losses, data.task),
        together=automatic if asked == "auto" else asked,
        numeric_class=numpy_class(),
    )


def ridge_fit(subset: Gathered, spec: RidgeSpec) -> tuple[FloatArray, float]:
    """Coefficients [d] and intercept of one ridge regression."""
    features, targets, weights = subset.features, subset.labels, subset.weights
    if not len(targets):
        return np.zeros(features.shape[1]), 0.0
    shares = weights / weights.sum()
    centre = shares @ features if spec.fit_intercept else np.zeros(features.shape[1])
    mean = float(shares @ targets) if spec.fit_intercept else 0.0
    roots: FloatArray = np.sqrt(weights)
    coefficients = _solved((features - centre) * roots[:, None], (targets - mean) * roots, spec.alpha)
    return coefficients, mean - float(centre @ coefficients)


def _solved(features: FloatArray, targets: FloatArray, alpha: float) -> FloatArray:
    """The b [d] that minimises ||targets - features b||^2 + alpha ||b||^2; of several, the one of least norm."""
    m, d = features.shape
    if alpha == 0.0:
        return _least_norm(features, targets)
    if m >= d:
        solution = _well_conditioned(features.T @ features, features.T @ targets, alpha)
        return _least_norm(*_augmented(features, targets, alpha)) if solution is None else solution
    dual = _well_conditioned(features @ features.T, targets, alpha)
    return _least_norm(*_augmented(features, targets, alpha)) if dual is None else features.T @ dual


def _well_conditioned(gram: FloatArray, right: FloatArray, alpha: float) -> FloatArray | None:
    """(gram + alpha I)^-1 right by Cholesky, scaled to a unit diagonal; None where that would lose the figures."""
    gram.flat[:: len(gram) + 1] += alpha
    scale = 1.0 / np.sqrt(np.diagonal(gram))
    gram *= scale[:, None] * scale
    norm = np.abs(gram).sum(axis=0).max()
    factor, failed = linalg.lapack.dpotrf(gram, lower=1, overwrite_a=1)
    if failed or linalg.lapack.dpocon(factor, norm, uplo="L")[0] < LEAST_RECIPROCAL_CONDITION:
        return None
    solution: FloatArray = linalg.lapack.dpotrs(factor, right * scale, lower=1)[0] * scale
    return solution


def _augmented(features: FloatArray, targets: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """The least-squares problem whose plain solution is the ridge solution."""
    d = features.shape[1]
    return np.concatenate([features, np.sqrt(alpha) * np.eye(d)]), np.concatenate([targets, np.zeros(d)])


def _least_norm(features: FloatArray, targets: FloatArray) -> FloatArray:
    solution: FloatArray = np.linalg.lstsq(features, targets, rcond=None)[0].astype(np.float64, copy=False)
    return solution
