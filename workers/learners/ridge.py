"""Ridge regression on many subsets together, each exactly; linear regression where alpha is 0.

Minimises sum_i w_i (y_i - b0 - x_i b)^2 + alpha ||b||^2 over the members, the intercept b0 not penalised:
scikit-learn's `Ridge`. Three ways, chosen by shapes: subsets that lack a few instances are updates of D's solution
(`ridge_downdates`: leave-one-out in closed form); others have their normal equations from one product for all
(`ridge_grams`); and where features outnumber members, or figures would be lost, each is solved alone (`ridge_fit`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import BoolArray, FloatArray, SeedArray
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.keeping import Models, part_of
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import RidgeSpec
from workers.learners.fixed_products import ROWS, fixed_product, padded, padded_to
from workers.learners.linear_data import linear_data
from workers.learners.on_linear_data import OnLinearData
from workers.learners.ridge_columns import centred_columns
from workers.learners.ridge_downdates import Downdates, downdates
from workers.learners.ridge_fit import ridge_fit
from workers.learners.ridge_grams import Grams
from workers.losses import kept_losses, regression_losses
from workers.numeric_class import numpy_class
from workers.trajectory import RecordedRun, TrajectoryMode, solved_run

ARITHMETIC_VERSION: Final = 2
PREDICTIONS_TOGETHER: Final = 2**21
MOST_TOGETHER: Final = 256
TOLERANCE: Final = 1e-6
COLUMNS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeLearner(OnLinearData):
    """K ridge regressions, exact for each subset; a singular design (alpha = 0) gets the solution of least norm.

    The empty subset, and one whose weights are all zero, predicts 0. Row k has the same bits whatever the other rows
    are; instances outside it move at most a rounding. across: [d, test and training instances], padded.
    """

    spec: RidgeSpec
    across: FloatArray
    downdates: Downdates
    grams: Grams

    @property
    def traits(self) -> LearnerTraits:
        """What the learner declares of itself."""
        return LearnerTraits(deterministic=True, membership="masks", together=True, tolerance=TOLERANCE)

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of K ridge regressions, on members [K, n]; the seeds are not used."""
        return self.losses_of(self.trained(members, seeds))

    def trained(self, members: BoolArray, seeds: SeedArray) -> Models:
        """Models of K regressions: `coefficients` [K, d] and `intercepts` [K]."""
        del seeds
        solutions = np.full((len(members), self.data.features.shape[1] + 1), np.nan)
        held = self.data.ordered(members) & self.downdates.present
        lengths = np.count_nonzero(held, axis=1)
        for way in (self.downdates, self.grams):
            served = np.flatnonzero(np.isnan(solutions[:, 0]) & way.serve(lengths))
            if len(served):
                solutions[served] = way.solutions(held[served])
        for k in np.flatnonzero(np.isnan(solutions[:, 0])).tolist():
            solutions[k, :-1], solutions[k, -1] = ridge_fit(self.data.gathered(members[k]), self.spec)
        return {"coefficients": solutions[:, :-1], "intercepts": solutions[:, -1]}

    def recorded(self, members: BoolArray, seed: int, mode: TrajectoryMode) -> RecordedRun:
        """The optimum, which is all there is of a run: this learner solves and takes no steps."""
        del mode
        return solved_run(self.trained(members[None], np.array([seed], dtype=np.uint64)), members)

    def losses_of(self, models: Models) -> Losses:
        """Losses of kept models, see `workers.keeping`."""
        coefficients = part_of(models, "coefficients", (None, self.data.features.shape[1]))
        intercepts = part_of(models, "intercepts", (len(coefficients),))
        flat = padded_to(coefficients, padded(len(coefficients), ROWS), len(self.across))
        targets = np.concatenate([self.data.test_labels, self.data.labels])
        kept = len(targets) if self.spec.train_losses else self.n_test
        losses = {name: np.empty((len(coefficients), kept), dtype=np.float32) for name in self.losses}
        for start in range(0, kept, COLUMNS):
            stop = min(start + COLUMNS, kept)
            predicted = fixed_product(flat, self.across[:, start : start + COLUMNS])[: len(coefficients)]
            predicted += intercepts[:, None]
            found = regression_losses(self.losses, predicted[:, : stop - start], targets[start:stop])
            for name, values in found.items():
                losses[name][:, start:stop] = values
        test = {name: values[:, : self.n_test] for name, values in losses.items()}
        train = {name: values[:, self.n_test :] for name, values in losses.items()}
        return Losses(test=test, train=train if self.spec.train_losses else None)


def ridge_learner(spec: RidgeSpec, data: Dataset, *, together: int | None = None) -> RidgeLearner:
    """The learner on a data set; `together` = K over the spec's. Raises LearnerError where labels are classes."""
    if data.task != "regression":
        raise LearnerError(
            "learner.kind: ridge predicts numbers, but the labels are classes: use logistic_regression, or write"
            " data.task: regression where the labels are numbers after all"
        )
    asked = spec.together if together is None else together
    flat = linear_data(data, constant_column=False)
    automatic = max(1, min(MOST_TOGETHER, PREDICTIONS_TOGETHER // len(flat.features)))
    columns = centred_columns(flat, spec.alpha, fit_intercept=spec.fit_intercept)
    wide = np.ascontiguousarray(flat.features.T)
    return RidgeLearner(
        spec=spec,
        data=flat,
        across=padded_to(wide, padded(len(wide)), padded(wide.shape[1])),
        downdates=downdates(columns),
        grams=Grams(columns),
        losses=kept_losses(spec.losses, data.task),
        together=automatic if asked == "auto" else asked,
        numeric_class=numpy_class(),
    )
