"""L2-regularised logistic regression on many subsets, trained side by side from zero.

Minimises sum_i w_i loss_i + ||w||^2 / (2 c), the intercept not penalised: scikit-learn's objective, with one logit for
two classes and a softmax over D's classes for more. Two classes: Newton's method; more, or many features: L-BFGS
preconditioned with the Hessian at zero.

Where a subset lacks a class of D and there is an intercept, the infimum is at an intercept of minus infinity, which the
learner takes: the class has probability 0 (clipped in the losses), and the others are fitted among themselves; a subset
of a single class holds it certain. Without an intercept all classes of D stay in the softmax. The empty subset gives
equal probabilities of D's classes.
"""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import linalg

from estimators.arrays import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, SeedArray
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.keeping import Models, part_of
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import LogisticRegressionSpec
from workers.learners.batched_minimiser import Directions, Minima, minimise
from workers.learners.descent_directions import LimitedMemoryDirections, NewtonDirections
from workers.learners.linear_data import LinearData, linear_data
from workers.learners.logistic_objective import Problem, side_by_side
from workers.learners.logistic_walk import LogisticWalk
from workers.losses import classification_losses, kept_losses
from workers.numeric_class import numpy_class

ARITHMETIC_VERSION: Final = 1
LOGITS_TOGETHER: Final = 2**16
FEATURES_TOGETHER: Final = 2**22
MOST_TOGETHER: Final = 64
NEWTON_UP_TO: Final = 128
FULL_PRECONDITIONER_UP_TO: Final = 1024


@dataclass(frozen=True, slots=True)
class LogisticRegressionLearner:
    """K logistic regressions, each to the spec's gradient tolerance. Row k's bits depend on members[k] alone.

    The tolerance bounds the largest component of the gradient of the objective divided by c sum_i w_i, as
    scikit-learn's `tol` does.
    """

    spec: LogisticRegressionSpec
    data: LinearData
    classes: int
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

    def with_together(self, together: int) -> "LogisticRegressionLearner":
        """The same learner with another K."""
        return dataclasses.replace(self, together=together)

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of K logistic regressions, on members [K, n]; the seeds are not used.

        Raises:
            LearnerError: one does not reach the tolerance within `max_iterations`.
        """
        return self.losses_of(self.trained(members, seeds))

    def trained(self, members: BoolArray, seeds: SeedArray) -> Models:
        """Models of K regressions.

        coefficients: [K, B, D], B = 1 logit for two classes, else C; the last of D is the intercept. offsets: [K, C],
        added to the logits of all classes, minus infinity where a class is absent.
        """
        del seeds
        problems = [self._problem(row) for row in members]
        fitted = iter(self._fitted([problem for problem in problems if self._needs_training(problem)]))
        logits = 1 if self.classes == 2 else self.classes
        coefficients = np.zeros((len(problems), logits, self.data.features.shape[1]))
        for own, problem in zip(coefficients, problems, strict=True):
            if self._needs_training(problem):
                own[:] = next(fitted)
        offsets = [np.where(problem.absent & (len(problem.labels) > 0), -np.inf, 0.0) for problem in problems]
        return {"coefficients": coefficients, "offsets": np.array(offsets).reshape(-1, self.classes)}

    def losses_of(self, models: Models) -> Losses:
        """Losses of kept models, see `workers.keeping`."""
        logits = 1 if self.classes == 2 else self.classes
        coefficients = part_of(models, "coefficients", (None, logits, self.data.features.shape[1]))
        offsets = part_of(models, "offsets", (len(coefficients), self.classes))
        rows = [self._losses_of(self._logits(own, off)) for own, off in zip(coefficients, offsets, strict=True)]
        test = {name: np.stack([row[name][: self.n_test] for row in rows]) for name in self.losses}
        train = {name: np.stack([row[name][self.n_test :] for row in rows]) for name in self.losses}
        return Losses(test=test, train=train if self.spec.train_losses else None)

    def _needs_training(self, problem: Problem) -> bool:
        """Whether the subset has members, and with an intercept more than one class."""
        return len(problem.labels) > 0 and int(problem.absent.sum()) < len(problem.absent) - 1

    def walk(self, orders: IntArray, seeds: SeedArray, *, rate: float, columns: IntArray) -> dict[str, Float32Array]:
        """Losses of K walks over orders [K, n] from zero, see `workers.walking`; the seeds are not used."""
        del seeds
        flat = self.data
        walk = LogisticWalk(
            features=flat.features[flat.n_test :],
            labels=flat.labels,
            weights=flat.weights,
            test_features=flat.features[: flat.n_test],
            test_labels=flat.test_labels,
            classes=self.classes,
            names=self.losses,
        )
        return walk.walk(orders, rate=rate, columns=columns)

    def _problem(self, row: BoolArray) -> Problem:
        subset = self.data.gathered(row)
        total = subset.weights.sum()
        penalty = np.full(subset.features.shape[1], 1.0 / (self.spec.c * total) if total else 0.0)
        if self.spec.fit_intercept:
            penalty[-1] = 0.0
        absent = np.bincount(subset.labels, minlength=self.classes) == 0
        return Problem(
            features=subset.features,
            labels=subset.labels,
            shares=subset.weights / total,
            penalty=penalty,
            absent=absent & self.spec.fit_intercept,
            logits=1 if self.classes == 2 else self.classes,
        )

    def _fitted(self, problems: list[Problem]) -> FloatArray:
        """Parameters [A, B, D] at the minima."""
        if not problems:
            return np.empty((0, 1, 1))
        size, logits = self.data.features.shape[1], problems[0].logits
        minima = minimise(
            lambda chosen: side_by_side([problems[j] for j in chosen]),
            np.zeros((len(problems), logits, size)),
            _directions(problems),
            tolerance=self.spec.gradient_tolerance,
            max_iterations=self.spec.max_iterations,
        )
        if not minima.arrived.all():
            raise LearnerError(self._not_arrived(problems, minima))
        return minima.parameters

    def _logits(self, coefficients: AnyArray, offsets: AnyArray) -> FloatArray:
        """Logits [n_test + n, C] of all instances, test instances first."""
        logits: FloatArray = self.data.features @ coefficients.T
        if logits.shape[1] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        return logits + offsets

    def _losses_of(self, logits: FloatArray) -> dict[str, Float32Array]:
        """Losses [n_test + n] of logits [n_test + n, C]."""
        logits = logits - logits.max(axis=1, keepdims=True)
        logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        labels = np.concatenate([self.data.test_labels, self.data.labels])
        return classification_losses(self.losses, logarithms, labels)

    def _not_arrived(self, problems: list[Problem], minima: Minima) -> str:
        worst = int(np.argmax(minima.largest_gradient))
        return (
            f"logistic_regression: on a subset of {len(problems[worst].labels)} members the gradient's largest"
            f" component is {minima.largest_gradient[worst]:.1e} after {minima.iterations[worst]} iterations, above"
            f" gradient_tolerance {self.spec.gradient_tolerance:.1e}: raise max_iterations"
            f" (now {self.spec.max_iterations}) or gradient_tolerance, scale the features, or lower c"
        )


def logistic_regression_learner(
    spec: LogisticRegressionSpec, data: Dataset, *, together: int | None = None
) -> LogisticRegressionLearner:
    """The learner on a data set; `together` = K over the spec's. Raises LearnerError where the labels do not fit."""
    if data.task != "classification":
        raise LearnerError(
            "learner.kind: logistic_regression predicts classes, but the labels are numbers: use ridge, or write"
            " data.task: classification where the labels are classes after all"
        )
    if len(data.classes) < 2:
        raise LearnerError(f"logistic_regression needs two classes or more; the labels have {len(data.classes)}")
    asked = spec.together if together is None else together
    flat = linear_data(data, constant_column=spec.fit_intercept)
    return LogisticRegressionLearner(
        spec=spec,
        data=flat,
        classes=len(data.classes),
        losses=kept_losses(spec.losses, data.task),
        together=_automatic(flat, len(data.classes)) if asked == "auto" else asked,
        numeric_class=numpy_class(),
    )


def _automatic(data: LinearData, classes: int) -> int:
    """K from shapes alone: the logits of K subsets near a cache's size, their features within memory."""
    logits, features = data.n * classes, data.n * data.features.shape[1]
    return int(max(1, min(MOST_TOGETHER, LOGITS_TOGETHER // logits, FEATURES_TOGETHER // features)))


def _directions(problems: list[Problem]) -> Directions:
    size, logits = problems[0].features.shape[1], problems[0].logits
    if logits == 1 and size <= NEWTON_UP_TO:
        return NewtonDirections(lambda chosen, at: side_by_side([problems[j] for j in chosen]).hessians(at))
    return LimitedMemoryDirections([_preconditioner(problem) for problem in problems], logits)


def _preconditioner(problem: Problem) -> FloatArray:
    """The inverse [D, D] of the Hessian at zero, or [D] of its diagonal where features are many or it is singular."""
    size = problem.features.shape[1]
    if size <= FULL_PRECONDITIONER_UP_TO:
        factor, failed = linalg.lapack.dpotrf(problem.curvature(), lower=1, overwrite_a=1)
        if not failed:
            inverse: FloatArray = linalg.lapack.dpotrs(factor, np.eye(size), lower=1)[0]
            return np.ascontiguousarray(inverse)
    return 1.0 / problem.curvature_diagonal()
