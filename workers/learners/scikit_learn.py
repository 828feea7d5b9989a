"""Any scikit-learn estimator, fitted on each subset in turn."""

import difflib
import inspect
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import ThreadpoolController

from estimators.arrays import AnyArray, BoolArray, Float32Array, IntArray, SeedArray
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import ScikitLearnSpec
from workers.learners.fitted_models import Certain, Estimator, FittedModel, Labels, Probabilities, Regression
from workers.learners.installed_classes import estimator_class
from workers.losses import OFFERED, PROBABILITY_FLOOR, kept_losses
from workers.numeric_class import numpy_class

ARITHMETIC_VERSION: Final = 2
SEEDS: Final = 2**31
"""Seeds that every library takes as its random state."""


@dataclass(frozen=True, slots=True)
class ScikitLearnLearner:
    """A fresh clone of `prototype` fitted on each subset's own rows, listed by identity.

    Every `random_state` of the estimator is set from the retrain's seed; one that has none is deterministic. Losses of
    a classifier come from its probabilities (clipped at `PROBABILITY_FLOOR`), or where it has none from its labels.
    A subset of a single class predicts that class with certainty, over D's classes; the empty subset gives equal
    probabilities of D's classes (as labels, the first class), or 0.
    """

    spec: ScikitLearnSpec
    prototype: BaseEstimator
    random_states: tuple[str, ...]
    data: Dataset
    train_features: AnyArray
    test_features: AnyArray
    finite: BoolArray
    losses: tuple[str, ...]
    numeric_class: str

    @property
    def n(self) -> int:
        """Length of a row of members."""
        return self.data.rows

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return self.data.n_test

    @property
    def together(self) -> int:
        """1: estimators are fitted one at a time."""
        return 1

    @property
    def traits(self) -> LearnerTraits:
        """What the learner declares of itself."""
        return LearnerTraits(
            deterministic=not self.random_states,
            membership="gathers",
            together=False,
            reason="these libraries fit one estimator at a time",
        )

    def with_together(self, together: int) -> "ScikitLearnLearner":
        """The learner itself: there is nothing to make smaller."""
        del together
        return self

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of K estimators, on members [K, n] with seeds [K]."""
        with _thread_pools().limit(limits=1):
            rows = [self._losses_of(row, int(seed)) for row, seed in zip(members, seeds, strict=True)]
        test = {name: np.stack([row[0][name] for row in rows]) for name in self.losses}
        if not self.spec.train_losses:
            return Losses(test=test)
        return Losses(test=test, train={name: np.stack([row[1][name] for row in rows]) for name in self.losses})

    def _losses_of(self, row: BoolArray, seed: int) -> tuple[dict[str, Float32Array], dict[str, Float32Array]]:
        model = self._fitted(self._members(row), seed)
        test = model.losses(self.losses, self.test_features, self.data.test_labels)
        return test, self._train_losses(model) if self.spec.train_losses else {}

    def _train_losses(self, model: FittedModel) -> dict[str, Float32Array]:
        """Losses [n]; NaN on a row with features that are not finite, which most estimators refuse to predict on."""
        features, labels, finite = self.train_features, self.data.train_labels, self.finite
        if finite.all():
            return model.losses(self.losses, features, labels)
        losses = {name: np.full(self.n, np.nan, dtype=np.float32) for name in self.losses}
        for name, values in model.losses(self.losses, features[finite], labels[finite]).items():
            losses[name][finite] = values
        return losses

    def _members(self, row: BoolArray) -> IntArray:
        order = np.arange(self.n) if self.data.order is None else self.data.order
        chosen = order[row[order]]
        return chosen if self.data.weights is None else chosen[self.data.weights[chosen] > 0.0]

    def _fitted(self, chosen: IntArray, seed: int) -> FittedModel:
        labels = self.data.train_labels[chosen]
        if self.data.task == "regression":
            return Regression(self._fit(chosen, seed) if len(labels) else None)
        classes = len(self.data.classes)
        if len(np.unique(labels)) < 2:
            return Certain(classes, int(labels[0]) if len(labels) else None)
        estimator = self._fit(chosen, seed)
        return Probabilities(estimator, classes) if _has_probabilities(estimator) else Labels(estimator)

    def _fit(self, chosen: IntArray, seed: int) -> Estimator:
        estimator: Estimator = clone(self.prototype)
        estimator.set_params(**dict.fromkeys(self.random_states, seed % SEEDS))
        features, labels = self.train_features[chosen], self.data.train_labels[chosen]
        if self.data.weights is None:
            return estimator.fit(features, labels)
        return estimator.fit(features, labels, sample_weight=self.data.weights[chosen])


def scikit_learn_learner(spec: ScikitLearnSpec, data: Dataset) -> ScikitLearnLearner:
    """The learner on a data set.

    Raises:
        LearnerError: no such estimator, options that it does not take, one for the other task, losses that it cannot
            give, or instance weights that its `fit` does not take.
    """
    return fitted_learner(spec, _prototype(spec), data, library="scikit-learn")


def fitted_learner(
    spec: ScikitLearnSpec, prototype: BaseEstimator, data: Dataset, *, library: str, missing_values: bool = False
) -> ScikitLearnLearner:
    """The learner over a prototype, see `scikit_learn_learner`.

    library: the distribution whose version counts. missing_values: the estimator predicts on features that are not
    finite.
    """
    _check_task(spec.estimator, prototype, data)
    if data.weights is not None and not has_fit_parameter(prototype, "sample_weight"):
        raise LearnerError(
            f"learner.estimator: {spec.estimator}'s fit takes no sample_weight, but the data have weights: choose"
            " another estimator, or leave data.weight out"
        )
    train_features = np.asarray(data.train_features).reshape(data.rows, -1)
    return ScikitLearnLearner(
        spec=spec,
        prototype=prototype,
        random_states=tuple(name for name in prototype.get_params() if _is_random_state(name)),
        data=data,
        train_features=train_features,
        test_features=np.asarray(data.test_features).reshape(data.n_test, -1),
        finite=np.ones(data.rows, dtype=np.bool_) if missing_values else np.isfinite(train_features).all(axis=1),
        losses=_kept(spec, prototype, data),
        numeric_class=f"{numpy_class(library)}, probabilities from {PROBABILITY_FLOOR:g}",
    )


@cache
def _thread_pools() -> ThreadpoolController:
    """Of the libraries loaded when the first subset is trained: a worker trains on one thread."""
    return ThreadpoolController()


def _prototype(spec: ScikitLearnSpec) -> BaseEstimator:
    given = [name for name in spec.arguments if _is_random_state(name)]
    if given:
        raise LearnerError(f"learner.arguments: {given[0]} is set from learner.seed for each retrain: leave it out")
    if "n_jobs" in spec.arguments:
        raise LearnerError("learner.arguments: n_jobs is 1, since the workers are the parallelism: leave it out")
    kind = estimator_class(spec.estimator)
    known = list(inspect.signature(kind).parameters)
    for name in spec.arguments:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(known) or 'none'}"
            raise LearnerError(f"learner.arguments: {spec.estimator} takes no {name}; {hint}")
    try:
        return kind(**spec.arguments)
    except TypeError as error:
        raise LearnerError(f"learner.arguments: {spec.estimator} cannot be made of them: {error}") from error


def _check_task(reference: str, prototype: BaseEstimator, data: Dataset) -> None:
    fits = is_classifier(prototype) if data.task == "classification" else is_regressor(prototype)
    if fits:
        return
    kinds = ((is_classifier, "a classifier"), (is_regressor, "a regressor"))
    what = next((word for test, word in kinds if test(prototype)), "neither classifier nor regressor")
    raise LearnerError(
        f"learner.estimator: {reference} is {what}, but data.task is {data.task}: choose another estimator or data.task"
    )


def _kept(spec: ScikitLearnSpec, prototype: BaseEstimator, data: Dataset) -> tuple[str, ...]:
    if data.task == "regression" or _has_probabilities(prototype):
        return kept_losses(spec.losses, data.task, offered=OFFERED[data.task])
    unfit = [name for name in spec.losses if name in OFFERED["classification"] and name != "zero_one"]
    if unfit:
        raise LearnerError(
            f"learner.losses: {', '.join(unfit)} needs class probabilities, which {spec.estimator} with these arguments"
            " does not give: keep zero_one alone, or choose arguments or an estimator with predict_proba"
        )
    return kept_losses(spec.losses, data.task, offered=("zero_one",))


def _has_probabilities(estimator: object) -> bool:
    # scikit-learn hides the method where the arguments do not allow it
    return hasattr(estimator, "predict_proba")


def _is_random_state(name: str) -> bool:
    return name == "random_state" or name.endswith("__random_state")
