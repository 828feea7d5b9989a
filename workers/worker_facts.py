"""What a worker's machine runs: versions, the source it imports, and whether it sees the driver's store folder."""

import hashlib
import os
import platform
import socket
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

import estimators
import workers

DISTRIBUTIONS = ("torch", "ray", "apportion")


@dataclass(frozen=True, slots=True)
class Probe:
    """A file that the driver wrote into the store's folder, and what stands in it."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """One process: where it runs and what.

    started: the process's own start time (seconds since the epoch), which tells it from a later one of the same id.
    versions: of Python and of the distributions that fix results, "" = not installed. source: a hash of the files
    of `workers` and `estimators`; folder: where they stand. sees_store: what the probe said, None = not asked.
    """

    worker: str
    host: str
    pid: int
    started: float
    versions: tuple[tuple[str, str], ...]
    source: str
    folder: str
    sees_store: bool | None = None


def facts_here(worker: str, probe: Probe | None = None) -> WorkerFacts:
    """Facts of this process."""
    return WorkerFacts(
        worker=worker,
        host=socket.gethostname(),
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        versions=(("Python", _python()), *((name, _version(name)) for name in DISTRIBUTIONS)),
        source=source_hash(),
        folder=str(_folders()[0].parent),
        sees_store=None if probe is None else _sees(probe),
    )


@cache
def source_hash() -> str:
    """16 hex digits over names and bytes of this process's `workers` and `estimators` files."""
    hasher = hashlib.blake2b(digest_size=8)
    for folder in _folders():
        for path in sorted(folder.rglob("*.py")):
            hasher.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0".encode())
            hasher.update(hashlib.blake2b(path.read_bytes()).digest())
    return hasher.hexdigest()


def _folders() -> tuple[Path, Path]:
    return Path(str(workers.__file__)).parent, Path(str(estimators.__file__)).parent


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _version(distribution: str) -> str:
    # "+cpu" and "+cu128" of torch tell builds apart, which rows record as their numeric class
    try:
        return version(distribution).split("+")[0]
    except PackageNotFoundError:
        return ""


def _sees(probe: Probe) -> bool:
    try:
        return Path(probe.path).read_text(encoding="utf-8") == probe.content
    except OSError:
        return False
