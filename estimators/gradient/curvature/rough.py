"""Matrix products in bfloat16 with answers in float32, for numbers that need not be exact to rounding.

Processors that have such products natively take them twice as fast as those in float32.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LinearMap = Callable[[Tensor], Tensor]
"""A symmetric matrix times vectors [k, p]."""
ROUGHNESS = 2.0**-10
"""How far products with a curvature are off, relative to their length: 2^-11.5 to 2^-10.5 on a network of MNIST."""
WIDE = 2**16
"""Numbers of the right operand from which the conversions are paid for."""
NATIVE = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class RoughMap:
    """A symmetric matrix times vectors, cheaper than exactly. error: of the answers, relative to their lengths."""

    times: LinearMap
    error: float

    def plus(self, damping: float) -> "RoughMap":
        """With damping on the diagonal."""
        return RoughMap(lambda v: torch.add(self.times(v), v, alpha=damping), self.error)


def bfloat16_is_fast(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether float32 operands on this device are multiplied faster after rounding them to bfloat16."""
    if device.type != "cpu" or dtype != torch.float32 or not torch.backends.mkldnn.enabled:
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in NATIVE)


def narrowed(operand: Tensor, *, rough: bool) -> Tensor:
    """The operand in bfloat16 where it is wide and may be rough, else as it is."""
    return operand.bfloat16() if rough and operand.numel() >= WIDE else operand


def product(one: Tensor, other: Tensor) -> Tensor:
    """One [..., m] @ other [m, n] in the type of the right operand, the answer in the left one's."""
    if one.dtype == other.dtype:
        return one @ other
    return (one.to(other.dtype) @ other).to(one.dtype)
