"""Options of networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from annotated_types import Gt, Le

from workers.durations import Duration
from workers.option_types import Count, NotNegative, Positive, Scalar, Seed, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSpec:
    """A state in the middle of a retrain every so often, from which another worker goes on.

    every: seconds, or a text such as 90 s, 10 min, 1.5 h.
    folder: where, reachable by all workers; None = beside the chunks, where these stand in a folder.
    """

    every: Duration = 600.0
    folder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSpec:
    """SGD (with momentum, Nesterov), Adam or AdamW, with PyTorch's own meanings of their options."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive = 0.1
    momentum: Share = 0.0
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """The learning rate over the steps of one retrain, as a factor on the optimizer's `lr`.

    constant: 1. linear: falls to 0. cosine: falls to 0 along half a cosine. step: times `gamma` every `every`
    epochs. warmup: share of the steps over which the factor first rises linearly from 0.
    """

    name: Literal["constant", "linear", "cosine", "step"] = "constant"
    warmup: Share = 0.0
    every: Count = 1
    gamma: Annotated[float, Gt(0), Le(1)] = 0.1


UNREAD: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "optimizer": {
        "sgd": frozenset({"betas", "eps"}),
        "adam": frozenset({"momentum", "nesterov"}),
        "adamw": frozenset({"momentum", "nesterov"}),
    },
    "schedule": {
        "constant": frozenset({"every", "gamma"}),
        "linear": frozenset({"every", "gamma"}),
        "cosine": frozenset({"every", "gamma"}),
        "step": frozenset(),
    },
}
"""Options that an optimizer or a schedule, by name, does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStoppingSpec:
    """Stop a retrain when its mean loss on `data.validation` has not fallen for `patience` epochs of its own.

    least: by how much it must fall to count. The model is the one of its best epoch.
    """

    patience: Count = 5
    least: NotNegative = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSpec:
    """Any `nn.Module` class of the user's (`model: model.py:Net`), trained by minibatches.

    together: how many retrains train together, "auto" = by a pilot. train_losses: also keep the losses on the
    training instances (memorization, label errors). keep: also keep the models' parameters.

    loss: a function of the user's to train with, in the model's file (`model.py:my_loss`): my_loss(outputs [B, C] or
    [B], labels [B]) -> [B]. losses: those kept; functions may stand among them. augment: a function of the user's,
    my_augment(inputs [B, ...], generator) -> the same shape, each instance by itself, in training only.
    label_smoothing: of the cross-entropy that trains. class_weights: by label, times instance weights.
    clip_norm: the most that a model's gradient may measure. precision: tf32 and bfloat16 trade digits for speed.
    cuda_graphs: record a step once on a GPU and replay it.
    """

    model: str
    kind: Literal["torch"] = "torch"
    arguments: dict[str, Scalar] = field(default_factory=dict)
    epochs: Count = 10
    batch_size: Count = 128
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    loss: str | None = None
    label_smoothing: Share = 0.0
    class_weights: dict[str, Positive] | None = None
    clip_norm: Positive | None = None
    early_stopping: EarlyStoppingSpec | None = None
    augment: str | None = None
    losses: tuple[str, ...] = ()
    train_losses: bool = True
    seed: Seed = 0
    keep: bool = False
    checkpoint: CheckpointSpec | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    cuda_graphs: bool = False
    together: Literal["auto"] | Count = "auto"
