"""Products of matrices whose last bits do not depend on a model's place among K.

Matrix products choose their instructions by the alignment of what they read and write. A weight's gradient
[K, H, D], as autograd allocates it, starts each model's slice somewhere else in a cache line, which moves last bits
by place. Here each slice starts at a multiple of 128 bytes. Parameters and activations do so by their shapes.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SLICE_NUMBERS: Final = 32


def padded_numbers(count: int) -> int:
    """`count` up to the next multiple of 32 numbers: 128 bytes of float32, two vector registers of AVX-512.

    Elementwise operations go by two registers at a time and do the rest one by one, with other roundings.
    """
    return -(-count // SLICE_NUMBERS) * SLICE_NUMBERS


class AlignedProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's __init_subclass__
    """Within it, a batched matrix product (aten::bmm) writes each model's slice to an aligned address."""

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """The function's own result."""
        del types
        if func is torch.ops.aten.bmm.default:
            left, right = args
            if isinstance(left, Tensor) and isinstance(right, Tensor):
                return _product(left, right)
        return func(*args, **(kwargs or {}))


def aligned_products(device: str) -> AbstractContextManager[object]:
    """`AlignedProducts` on a CPU, nothing elsewhere: a GPU's batched product treats all its matrices alike."""
    return AlignedProducts() if device.startswith("cpu") else nullcontext()  # type: ignore[no-untyped-call]  # torch's


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Left [K, M, D] times right [K, D, N]."""
    if left.stride(2) != 1 and right.stride(2) == 1:
        # The gradient of a linear layer's weight, transposed: made so that its transpose has the weight's layout.
        return torch.bmm(right.mT, left.mT, out=_aligned(left, right.shape[2], left.shape[1])).mT
    if left.shape[1] * right.shape[2] % SLICE_NUMBERS:
        return torch.bmm(left, right, out=_aligned(left, left.shape[1], right.shape[2]))
    return torch.bmm(left, right)


def _aligned(like: Tensor, rows: int, columns: int) -> Tensor:
    strides = (padded_numbers(rows * columns), columns, 1)
    return torch.empty_strided((len(like), rows, columns), strides, dtype=like.dtype, device=like.device)
