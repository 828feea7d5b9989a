"""What fixes the last bits of NumPy learners, in words: recorded with each row, never refused."""

from importlib.metadata import version

import threadpoolctl


def numpy_class(*distributions: str) -> str:
    """Versions of NumPy, SciPy and the distributions named, precision, and the BLAS that NumPy runs on."""
    versions = [f"{name} {version(name)}" for name in ("numpy", "scipy", *distributions)]
    return ", ".join([*versions, "float64", _blas()])


def _blas() -> str:
    found = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    words = {
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')} threads"
        f" {library['num_threads']}"
        for library in found
    }
    return " and ".join(sorted(words)) or "no BLAS found"
