"""One BLAS thread, so that sums are formed in one order and the same rows give the same bits."""

from contextlib import AbstractContextManager
from functools import cache

import numpy as np  # noqa: F401 - NumPy's BLAS must be loaded before the controller looks for it
from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[object]:
    """A context in which this process's BLAS runs on one thread; the number before is restored at its end."""
    limited: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limited
