"""A run as the gradient estimators see it: parameters before some of its steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """theta before a step. parameters: the model's, and its buffers. rate: eta of that step.

    batch: positions [b] of the step's batch in the training set, where known. steps: how many steps of the run the
    checkpoint stands for. state: the optimiser's, one tensor a name (momentum, Adam's moments).
    """

    parameters: Mapping[str, Tensor]
    rate: float = 1.0
    batch: Tensor | None = None
    steps: int = 1
    state: Mapping[str, Tensor] = field(default_factory=dict)


Trajectory = tuple[Checkpoint, ...]
