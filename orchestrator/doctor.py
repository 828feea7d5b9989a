"""`apportion doctor`: is this machine fit for a job? One line a finding, each with how to mend it."""

import errno
import importlib.metadata
import os
import shutil
import socket
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement

from orchestrator.wording import counted, size

LEAST_DISK = 2 * 10**9
LEAST_MEMORY = 2 * 10**9
LEAST_SHARED_MEMORY = 2 * 10**8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its name, how it stands, what was seen, and what to do about it."""

    name: str
    status: Literal["ok", "warn", "fail"]
    what: str
    mend: str = ""


def examine(folder: Path) -> list[Finding]:
    """Look at versions, processors, memory, disk, GPU, rights and the network; takes a few seconds, changes nothing."""
    return [
        Finding("python", "ok", ".".join(map(str, sys.version_info[:3]))),
        *_versions(),
        _processors(),
        _threads(),
        _memory(),
        _shared_memory(),
        _disk("disk", folder),
        _disk("temporary folder", Path(tempfile.gettempdir())),
        _rights(folder),
        _loopback(),
        _token(),
        _gpu(),
    ]


def _versions() -> list[Finding]:
    """The packages that the installed distribution asks for, without its extras."""
    try:
        wanted = importlib.metadata.requires("apportion") or []
    except importlib.metadata.PackageNotFoundError:
        return [Finding("packages", "warn", "apportion is not installed", "pip install -e . in its folder")]
    requirements = [Requirement(text) for text in wanted]
    needed = [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = [finding for each in needed if (finding := _version(each)) is not None]
    told = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "ray", "mlflow") if _there(name)
    )
    return [*wrong, Finding("packages", "ok", f"{told}; {counted(len(needed) - len(wrong), 'package')} as needed")]


def _there(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _version(requirement: Requirement) -> Finding | None:
    mend = f"pip install '{requirement}'"
    if not _there(requirement.name):
        return Finding(requirement.name, "fail", "is not installed", mend)
    version = importlib.metadata.version(requirement.name)
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return Finding(requirement.name, "fail", f"{version}, needed is {requirement.specifier}", mend)


def _processors() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding(
        "processors", "ok", f"{counted(cores, 'core')} for this process, so {counted(cores, 'worker')} of one core"
    )


def _threads() -> Finding:
    import numpy as np  # noqa: F401, PLC0415 - loads the BLAS library that is asked about
    from threadpoolctl import threadpool_info  # noqa: PLC0415 - only here

    pools = [f"{pool['internal_api']} with {counted(pool['num_threads'], 'thread')}" for pool in threadpool_info()]
    told = ", ".join(dict.fromkeys(pools)) or "none found"
    return Finding("linear algebra", "ok", f"{told} here; workers take one thread a core that they are given")


def _memory() -> Finding:
    free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    what = f"{size(free)} free of {size(total)}"
    if free < LEAST_MEMORY:
        return Finding("memory", "warn", what, "end other programs: each worker takes about 0.5 GB with PyTorch")
    return Finding("memory", "ok", what)


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")  # noqa: S108 - looked at, nothing is written there
    if not folder.is_dir():
        return Finding("shared memory", "ok", "this system has no /dev/shm; Ray uses files")
    free = shutil.disk_usage(folder).free
    if free < LEAST_SHARED_MEMORY:
        mend = "in a container: --shm-size 2g"
        return Finding("shared memory", "warn", f"{size(free)} free in /dev/shm: Ray falls back to slow files", mend)
    return Finding("shared memory", "ok", f"{size(free)} free")


def _disk(name: str, folder: Path) -> Finding:
    there = next((path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir()), Path("/"))
    free = shutil.disk_usage(there).free
    if free < LEAST_DISK:
        return Finding(
            name, "warn", f"{size(free)} free in {there}", "make room; `apportion plan` says what a job takes"
        )
    return Finding(name, "ok", f"{size(free)} free in {there}")


def _rights(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"apportion")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "") or str(error)
        what = f"{folder} cannot be written: {error.strerror or error} ({reason})"
        return Finding("writing", "fail", what, "choose a folder that you may write to")
    return Finding("writing", "ok", f"{folder} can be written")


def _loopback() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=2.0):
                return Finding("loopback", "ok", "a port of 127.0.0.1 can be opened and reached")
    except OSError as error:
        mend = (
            "Ray needs local ports: look at the firewall or the sandbox; `cluster: {address: in_process}` does without"
        )
        return Finding("loopback", "fail", f"no port of 127.0.0.1 can be used: {error.strerror or error}", mend)


def _token() -> Finding:
    """Ray's token lets its owner run code on the cluster; Ray writes the file readable for all under umask 022."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        if named:
            what = f"RAY_AUTH_TOKEN_PATH names a file that cannot be read: {error.strerror}"
            return Finding("Ray's token", "fail", what, "name a file that is there, or unset the variable")
        return Finding("Ray's token", "ok", "none yet; Ray started here makes its own")
    if mode & 0o077:
        return Finding("Ray's token", "warn", f"{path} may be read by others ({mode:o})", f"chmod 600 {path}")
    return Finding("Ray's token", "ok", f"{path} is yours alone")


def _gpu() -> Finding:
    if not _there("torch"):
        return Finding("GPU", "warn", "PyTorch is not installed", "pip install torch")
    import torch  # noqa: PLC0415 - heavy, and only here

    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU alone"
        return Finding("GPU", "ok", f"none that PyTorch {torch.__version__} ({built}) can use: jobs run on processors")
    names = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    told = ", ".join(f"{each.name} with {size(each.total_memory)}" for each in names)
    return Finding("GPU", "ok", f"{told}; give workers a share: `workers: {{gpus: 0.25}}`")
