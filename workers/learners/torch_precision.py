"""Digits for speed: how products of matrices are computed inside a retrain."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def computing(precision: str, device: str) -> Iterator[None]:
    """Inside, products are computed in `precision`, and afterwards as before.

    float32: PyTorch's own default. tf32: 10 bits of mantissa in the products of NVIDIA's tensor cores; elsewhere
    as float32. bfloat16: autocast, 7 bits, parameters and losses in float32.
    """
    kind = device.partition(":")[0]
    before = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = convolutions
