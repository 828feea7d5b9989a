"""Telling a lack of memory, of the machine or of a device, from other errors."""

from typing import Final

WORDS: Final = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the machine or of a GPU, was too small.

    MemoryError (NumPy's too), torch.OutOfMemoryError, and the RuntimeErrors that PyTorch, CUDA and cuBLAS raise.
    """
    if isinstance(error, MemoryError):
        return True
    # torch is not imported here: its error is known by name, and is a RuntimeError too
    named = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, RuntimeError) and (named or any(words in str(error).lower() for words in WORDS))
