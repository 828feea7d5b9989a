"""Forward derivatives by `torch.func.jvp`."""

import warnings
from collections.abc import Callable
from typing import Any

from torch.func import jvp


def pushed(function: Callable[..., Any], point: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """The function's value at the point and its derivative along the tangents."""
    with warnings.catch_warnings():  # PyTorch's forward mode scripts its own formulas when it is first used
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        value, derivative = jvp(function, point, tangents)[:2]
    return value, derivative
