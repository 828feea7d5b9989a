"""The seam of models that train together: K models as one program, by hand or through vmap."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from workers.learners.torch_layout import FlatLayout
from workers.learners.torch_state import Tensors

Gradients = Callable[[Tensor], Tensor]
"""The loss's gradient by outputs, both [K, C, rows] (C = 1 for regression)."""


class Step(Protocol):
    """Gradients of K models on batches of their own."""

    def set_keys(self, keys: list[Tensor]) -> None:
        """Keys [K] int32 of this step's random numbers, one tensor a dropout layer."""
        ...

    def run(self, inputs: Tensor, output_gradient: Gradients) -> None:
        """Write the gradients of a batch [K, rows, ...] into the buffer that the step was made for."""
        ...


Outputs = Callable[[Tensor], Tensor]
"""Outputs [K, C, rows] of inputs [rows, ...] that the models share."""


class BatchedModel(Protocol):
    """K models of one class as one."""

    @property
    def layout(self) -> FlatLayout:
        """Where the trained parameters lie."""
        ...

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """Names of what is not trained."""
        ...

    @property
    def dropouts(self) -> int:
        """How many layers draw by counting."""
        ...

    def gradients(self, flat: Tensor, fixed: Tensors, towards: Tensor, *, rows: int) -> Step:
        """A training step for parameters flat [K, P], whose gradients go into `towards` [K, P]."""
        ...

    def outputs(self, flat: Tensor, fixed: Tensors, *, rows: int) -> Outputs:
        """Evaluation on `rows` instances at a time."""
        ...
