"""Gradient-boosted trees on each subset in turn, by scikit-learn, XGBoost or LightGBM, on one thread a worker."""

import difflib
import importlib
from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from estimators.arrays import AnyArray
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learner_specs import GradientBoostingSpec, ScikitLearnSpec
from workers.learners.scikit_learn import ScikitLearnLearner, fitted_learner

ARITHMETIC_VERSION: Final = 1

CLASSES: Final[Mapping[str, Mapping[str, str]]] = {
    "scikit_learn": {
        "classification": "sklearn.ensemble.HistGradientBoostingClassifier",
        "regression": "sklearn.ensemble.HistGradientBoostingRegressor",
    },
    "xgboost": {"classification": "xgboost.XGBClassifier", "regression": "xgboost.XGBRegressor"},
    "lightgbm": {"classification": "lightgbm.LGBMClassifier", "regression": "lightgbm.LGBMRegressor"},
}
FIXED: Final[Mapping[str, Mapping[str, Any]]] = {
    "scikit_learn": {},
    "xgboost": {"n_jobs": 1, "verbosity": 0},
    "lightgbm": {"n_jobs": 1, "verbosity": -1, "deterministic": True, "force_row_wise": True},
}
"""Arguments that hold one thread, silence and the same bits; not the job's to set."""

DISTRIBUTIONS: Final = {"scikit_learn": "scikit-learn", "xgboost": "xgboost", "lightgbm": "lightgbm"}


class ContiguousClasses(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that sees a subset's classes as 0, 1, ..., which XGBoost asks for."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: AnyArray, y: AnyArray, sample_weight: AnyArray | None = None) -> Self:
        """Train on the classes that y has."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.estimator.fit(X, codes, sample_weight=sample_weight)
        return self

    def predict(self, X: AnyArray) -> AnyArray:
        """Labels [rows]."""
        predicted: AnyArray = self.classes_[np.asarray(self.estimator.predict(X)).astype(np.int64)]
        return predicted

    def predict_proba(self, X: AnyArray) -> AnyArray:
        """Probabilities [rows, classes_]."""
        probabilities: AnyArray = self.estimator.predict_proba(X)
        return probabilities


def gradient_boosting_learner(spec: GradientBoostingSpec, data: Dataset) -> ScikitLearnLearner:
    """The learner on a data set: `scikit_learn`'s, with trees in it. Missing values in features are the library's.

    Raises:
        LearnerError: the library is not installed, an argument that it does not take, or losses that do not fit.
    """
    reference = CLASSES[spec.library][data.task]
    estimator = _estimator(spec, reference)
    return fitted_learner(
        ScikitLearnSpec(
            estimator=reference,
            arguments=spec.arguments,
            losses=spec.losses,
            train_losses=spec.train_losses,
            seed=spec.seed,
        ),
        ContiguousClasses(estimator) if data.task == "classification" else estimator,
        data,
        library=DISTRIBUTIONS[spec.library],
        missing_values=True,
    )


def _estimator(spec: GradientBoostingSpec, reference: str) -> Any:
    module_name, _, name = reference.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise LearnerError(
            f"learner.library: {spec.library} is not installed ({error}): install it with the extra `trees`, pip"
            " install 'apportion[trees]', on every machine that trains, or take library: scikit_learn"
        ) from error
    fixed = FIXED[spec.library]
    known = sorted(set(kind().get_params()) - {"random_state", *fixed})
    for argument in spec.arguments:
        if argument in fixed or argument == "random_state":
            held = f"is {fixed[argument]}" if argument in fixed else "is set from learner.seed for each retrain"
            raise LearnerError(f"learner.arguments: {argument} {held}: leave it out")
        if argument not in known:
            near = difflib.get_close_matches(argument, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(known)}"
            raise LearnerError(f"learner.arguments: {name} takes no {argument}; {hint}")
    return kind(**{**spec.arguments, **fixed})
