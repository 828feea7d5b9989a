"""A training step recorded once as a CUDA graph and replayed: the host then launches one thing a step.

Pays where a step's kernels are shorter than their launches: small networks with few models together.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3


class RecordedStep:
    """`step` on tensors of fixed addresses: rows, labels, coefficients [K, width] and dropout keys [K].

    step: must read these alone, write into buffers that it owns, and give the same when it is run again.
    """

    def __init__(
        self, step: Callable[[Tensor, Tensor, Tensor, list[Tensor]], None], tensors: list[Tensor], keys: list[Tensor]
    ) -> None:
        self._held = [tensor.clone() for tensor in tensors]
        self._keys = [key.clone() for key in keys]
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                self._call(step)
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._call(step)

    def _call(self, step: Callable[[Tensor, Tensor, Tensor, list[Tensor]], None]) -> None:
        rows, labels, coefficients = self._held
        step(rows, labels, coefficients, self._keys)

    def __call__(self, tensors: list[Tensor], keys: list[Tensor]) -> None:
        """Replay the step on other numbers."""
        for own, given in zip([*self._held, *self._keys], [*tensors, *keys], strict=True):
            own.copy_(given)
        self._graph.replay()
