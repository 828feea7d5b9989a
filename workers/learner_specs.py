"""What a job says of its learner: one frozen record a kind, validated at the edge by the orchestrator.

Constraints stand as `annotated_types`, so that workers need no validation library and the job file's schema
and the learners' options are the same text.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

Scalar = str | int | float | bool | None
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]

ClassificationLoss = Literal["cross_entropy", "zero_one", "margin"]
RegressionLoss = Literal["squared_error", "absolute_error"]
LossName = ClassificationLoss | RegressionLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSpec:
    """A state in the middle of a retrain every so many seconds, from which another worker goes on.

    folder: where, reachable by all workers; None = beside the chunks, where these stand in a folder.
    """

    every: Positive = 600.0
    folder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSpec:
    """SGD (with momentum, Nesterov), Adam or AdamW, with PyTorch's own meanings of their options."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive = 0.1
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    betas: tuple[Annotated[float, Ge(0), Lt(1)], Annotated[float, Ge(0), Lt(1)]] = (0.9, 0.999)
    eps: Positive = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """The learning rate over the steps of one retrain, as a factor on the optimizer's `lr`.

    constant: 1. linear: falls to 0. cosine: falls to 0 along half a cosine. step: times `gamma` every `every`
    epochs. warmup: share of the steps over which the factor first rises linearly from 0.
    """

    name: Literal["constant", "linear", "cosine", "step"] = "constant"
    warmup: Annotated[float, Ge(0), Lt(1)] = 0.0
    every: Count = 1
    gamma: Annotated[float, Gt(0), Le(1)] = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSpec:
    """Any `nn.Module` class of the user's (`model: model.py:Net`), trained by minibatches.

    together: how many retrains train together, "auto" = from shapes and memory. train_losses: also keep the
    losses on the training instances (memorization, label errors). keep: also keep the models' parameters.
    """

    model: str
    kind: Literal["torch"] = "torch"
    arguments: dict[str, Scalar] = field(default_factory=dict)
    epochs: Count = 10
    batch_size: Count = 128
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    losses: tuple[LossName, ...] = ()
    train_losses: bool = True
    seed: Seed = 0
    keep: bool = False
    checkpoint: CheckpointSpec | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    together: Literal["auto"] | Count = "auto"


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


LearnerSpec = TorchSpec | LogisticRegressionSpec | RidgeSpec | ScikitLearnSpec | GradientBoostingSpec | FunctionSpec
