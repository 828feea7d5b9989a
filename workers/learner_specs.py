"""What a job says of its learner: one frozen record a kind, validated at the edge by the orchestrator.

Constraints stand as `annotated_types`, so that workers need no validation library and the job file's schema
and the learners' options are the same text.
"""

from dataclasses import dataclass, field
from typing import Literal

from workers.option_types import Count, LossName, NotNegative, Positive, Scalar, Seed
from workers.torch_specs import CheckpointSpec, OptimizerSpec, ScheduleSpec, TorchSpec

__all__ = [
    "CheckpointSpec",
    "FunctionSpec",
    "GradientBoostingSpec",
    "LearnerSpec",
    "LinearSvmSpec",
    "LogisticRegressionSpec",
    "LossName",
    "OptimizerSpec",
    "RidgeSpec",
    "Scalar",
    "ScheduleSpec",
    "ScikitLearnSpec",
    "Seed",
    "TorchSpec",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticRegressionSpec:
    """L2-regularised multinomial logistic regression, scikit-learn's objective: sum of losses + ||w||^2 / (2 c)."""

    kind: Literal["logistic_regression"] = "logistic_regression"
    c: Positive = 1.0
    fit_intercept: bool = True
    gradient_tolerance: Positive = 1e-6
    max_iterations: Count = 1000
    losses: tuple[LossName, ...] = ()
    train_losses: bool = True
    seed: Seed = 0
    keep: bool = False
    together: Literal["auto"] | Count = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSvmSpec:
    """Linear support vector machine, scikit-learn's LinearSVC: ||w||^2 / 2 + c times the sum of squared hinge losses.

    The intercept is penalised as a coefficient, as in LinearSVC.
    """

    kind: Literal["linear_svm"] = "linear_svm"
    c: Positive = 1.0
    fit_intercept: bool = True
    losses: tuple[LossName, ...] = ()
    train_losses: bool = True
    seed: Seed = 0
    keep: bool = False
    together: Literal["auto"] | Count = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeSpec:
    """Ridge regression, scikit-learn's objective: sum of squared errors + alpha ||w||^2, intercept not penalised."""

    kind: Literal["ridge"] = "ridge"
    alpha: NotNegative = 1.0
    fit_intercept: bool = True
    losses: tuple[LossName, ...] = ()
    train_losses: bool = True
    seed: Seed = 0
    keep: bool = False
    together: Literal["auto"] | Count = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScikitLearnSpec:
    """Any scikit-learn estimator by its dotted name (`sklearn.ensemble.RandomForestClassifier`), looped."""

    estimator: str
    kind: Literal["scikit_learn"] = "scikit_learn"
    arguments: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    losses: tuple[LossName, ...] = ()
    train_losses: bool = True
    seed: Seed = 0
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientBoostingSpec:
    """Gradient-boosted trees of scikit-learn (histogram), XGBoost or LightGBM (extra `trees`), looped on one thread.

    arguments: those of the library's own classifier or regressor (`max_iter` or `n_estimators`, `learning_rate`, ...).
    """

    kind: Literal["gradient_boosting"] = "gradient_boosting"
    library: Literal["scikit_learn", "xgboost", "lightgbm"] = "scikit_learn"
    arguments: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    losses: tuple[LossName, ...] = ()
    train_losses: bool = True
    seed: Seed = 0
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """The smallest contract: a function of the user's, `losses(members, seed, *, folder=None) -> {loss: [n_test]}`.

    A name `train_<loss>` in the answer gives losses [n] on the training instances. deterministic: the losses do
    not depend on the seed.
    """

    function: str
    kind: Literal["function"] = "function"
    arguments: dict[str, Scalar] = field(default_factory=dict)
    deterministic: bool = False
    seed: Seed = 0
    keep: bool = False
    checkpoint: CheckpointSpec | None = None


LearnerSpec = (
    TorchSpec
    | LogisticRegressionSpec
    | LinearSvmSpec
    | RidgeSpec
    | ScikitLearnSpec
    | GradientBoostingSpec
    | FunctionSpec
)
