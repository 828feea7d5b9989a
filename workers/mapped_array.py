"""Arrays that stay in their file and are read by the page, for data larger than memory.

Such an array travels to a worker as the name of its file, which the worker maps anew: the file must be reachable
there under the same path. A part of one travels as an ordinary array.
"""

from pathlib import Path
from typing import Any

import numpy as np

from workers.errors import LearnerError


class MappedArray(np.memmap[Any, Any]):
    """A read-only array in a file. Make it with `mapped`."""

    source: tuple[str, str, tuple[int, ...], int] | None

    def __array_finalize__(self, obj: object) -> None:
        """Parts and copies know no file."""
        super().__array_finalize__(obj)
        self.source = None

    def __reduce__(self) -> tuple[Any, ...]:
        """The file's name where this is the whole array, else the numbers."""
        if self.source is None:
            return _restored, (self.tobytes(), self.dtype.str, self.shape)
        return mapped, self.source


def _restored(content: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.frombuffer(content, dtype=np.dtype(dtype)).reshape(shape)


def mapped(path: str, dtype: str, shape: tuple[int, ...], offset: int) -> MappedArray:
    """The array of a shape and dtype that stands at an offset of a file. Raises LearnerError where it does not."""
    try:
        array = MappedArray(Path(path), dtype=np.dtype(dtype), mode="r", shape=shape, offset=offset)
    except (OSError, ValueError) as error:
        raise LearnerError(
            f"the data in {path} cannot be mapped on this machine: {error}\n"
            "    keep the file where all workers reach it under one path"
        ) from error
    array.source = (path, dtype, tuple(shape), offset)
    return array


def is_mapped(array: object) -> bool:
    """Whether an array stays in its file."""
    return isinstance(array, MappedArray) and array.source is not None


def written_over(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy that may be written to; of a mapped array only the pages that are written to are in memory."""
    if not isinstance(array, MappedArray) or array.source is None:
        return array.copy()
    path, dtype, shape, offset = array.source
    return np.memmap(Path(path), dtype=np.dtype(dtype), mode="c", shape=shape, offset=offset)
