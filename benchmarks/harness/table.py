"""One table a benchmark, in Markdown, below a line that names the machine and the versions."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path


def machine(*packages: str) -> str:
    """Cores, processor and versions, for the line above a table; a package that is not here is said to be so."""
    versions = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "torch", *packages))
    return f"machine: {os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}, {versions}"


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """The rows as a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
