"""L2-regularised logistic regression on many subsets, trained side by side from zero.

Minimises sum_i w_i loss_i + ||w||^2 / (2 c), the intercept not penalised: scikit-learn's objective, with one logit for
two classes and a softmax over D's classes for more. Two classes: Newton's method; more, or many features: L-BFGS
preconditioned with the Hessian at zero.

Where a subset lacks a class of D and there is an intercept, the infimum is at an intercept of minus infinity, which the
learner takes: the class has probability 0 (clipped in the losses), and the others are fitted among themselves; a subset
of a single class holds it certain. Without an intercept all classes of D stay in the softmax. The empty subset gives
equal probabilities of D's classes.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from estimators.arrays import BoolArray, Float32Array, IntArray, SeedArray
from workers.dataset import Dataset
from workers.keeping import Models, part_of
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import LogisticRegressionSpec
from workers.learners.evaluated_rows import EvaluatedRows
from workers.learners.linear_classifiers import check_classes, evaluated
from workers.learners.linear_data import linear_data
from workers.learners.logistic_fit import Fit
from workers.learners.logistic_objective import Problem, TrainingRows, training_rows
from workers.learners.logistic_walk import LogisticWalk
from workers.learners.logit_losses import LogitLosses
from workers.learners.on_linear_data import OnLinearData
from workers.losses import kept_losses
from workers.numeric_class import numpy_class
from workers.trajectory import RecordedRun, TrajectoryMode, solved_run

ARITHMETIC_VERSION: Final = 4
PARAMETERS_TOGETHER: Final = 2**16
OWN_ROWS_TOGETHER: Final = 2**23
MOST_TOGETHER: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticRegressionLearner(OnLinearData):
    """K logistic regressions, each to the spec's gradient tolerance. Row k's bits depend on members[k] alone.

    The tolerance bounds the largest component of the gradient of the objective divided by c sum_i w_i, as
    scikit-learn's `tol` does.
    """

    spec: LogisticRegressionSpec
    rows: TrainingRows
    evaluated: EvaluatedRows
    classes: int

    @property
    def traits(self) -> LearnerTraits:
        """What the learner declares of itself."""
        return LearnerTraits(deterministic=True, membership="masks", together=True)

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
        problems = self.rows.problems(members, fit_intercept=self.spec.fit_intercept)
        fit = Fit(self.rows, 1.0 / self.spec.c, self.spec.gradient_tolerance, self.spec.max_iterations)
        coefficients = np.zeros((len(problems), self.rows.logits, self.data.features.shape[1]))
        kinds = [self.rows.kind(problem) for problem in problems]
        trained = sorted(
            np.flatnonzero([_needs_training(problem) for problem in problems]).tolist(), key=kinds.__getitem__
        )
        for _, alike in groupby(trained, key=kinds.__getitem__):
            places = list(alike)
            coefficients[places] = fit.parameters([problems[k] for k in places])[:, :, : coefficients.shape[2]]
        offsets = [np.where(problem.absent, -np.inf, 0.0) for problem in problems]
        return {"coefficients": coefficients, "offsets": np.array(offsets).reshape(-1, self.classes)}

    def recorded(self, members: BoolArray, seed: int, mode: TrajectoryMode) -> RecordedRun:
        """The optimum, which is all there is of a run: this learner solves and takes no steps."""
        del mode
        return solved_run(self.trained(members[None], np.array([seed], dtype=np.uint64)), members)

    def losses_of(self, models: Models) -> Losses:
        """Losses of kept models, see `workers.keeping`."""
        coefficients = part_of(models, "coefficients", (None, self.rows.logits, self.data.features.shape[1]))
        offsets = part_of(models, "offsets", (len(coefficients), self.classes))
        losses = self.evaluated.losses(self.losses, coefficients, LogitLosses(self.losses, np.isneginf(offsets)))
        test = {name: values[:, : self.n_test] for name, values in losses.items()}
        train = {name: values[:, self.n_test :] for name, values in losses.items()}
        return Losses(test=test, train=train if self.spec.train_losses else None)

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


def logistic_regression_learner(
    spec: LogisticRegressionSpec, data: Dataset, *, together: int | None = None
) -> LogisticRegressionLearner:
    """The learner on a data set; `together` = K over the spec's. Raises LearnerError where the labels do not fit."""
    check_classes(data, spec.kind)
    asked = spec.together if together is None else together
    flat = linear_data(data, constant_column=spec.fit_intercept)
    rows = training_rows(flat, len(data.classes), fit_intercept=spec.fit_intercept)
    return LogisticRegressionLearner(
        spec=spec,
        data=flat,
        rows=rows,
        evaluated=evaluated(flat, train=spec.train_losses),
        classes=len(data.classes),
        losses=kept_losses(spec.losses, data.task),
        together=_automatic(rows) if asked == "auto" else asked,
        numeric_class=f"{numpy_class()}, descents in float32 first",
    )


def _automatic(rows: TrainingRows) -> int:
    """K from shapes alone: parameters and their memory near a cache's size, subsets' own rows within memory."""
    n, size = rows.features.shape
    own_rows = OWN_ROWS_TOGETHER // (n * size) if rows.logits > 1 else MOST_TOGETHER
    return max(4, int(min(MOST_TOGETHER, PARAMETERS_TOGETHER // (rows.logits * size), own_rows)) // 4 * 4)


def _needs_training(problem: Problem) -> bool:
    """Whether the subset has members, and with an intercept more than one class."""
    return problem.size > 0 and int(problem.absent.sum()) < len(problem.absent) - 1
