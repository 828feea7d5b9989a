"""Who holds a lease: the record on the board, and whether its process still lives on this machine."""

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Owner:
    """One driver's claim on a job.

    machine: boot and process-id namespace, so that equal host names of two containers are told apart.
    started: the process' start in the kernel's own count, so that a reused pid is told apart and a changed clock
    moves nothing. term: grows with each holder. beat: seconds since the epoch by the owner's clock. beats: counts
    signs of life, so that they are seen whatever the clocks say.
    """

    token: str
    host: str
    machine: str
    pid: int
    started: str
    beat: float
    term: int = 0
    beats: int = 0
    held: bool = False

    def text(self) -> str:
        """The record as it stands on the board."""
        return json.dumps(asdict(self), sort_keys=True)

    def alive(self, *, beat: float) -> "Owner":
        """The record with one more sign of life."""
        return replace(self, beat=beat, beats=self.beats + 1)


def owner_of(text: str) -> Owner | None:
    """The record in a text, None where it is none of ours."""
    try:
        found = json.loads(text)
        return Owner(
            token=str(found["token"]),
            host=str(found["host"]),
            machine=str(found["machine"]),
            pid=int(found["pid"]),
            started=str(found["started"]),
            beat=float(found["beat"]),
            term=int(found["term"]),
            beats=int(found["beats"]),
            held=found["held"] is True,
        )
    except (TypeError, ValueError, KeyError, OverflowError):
        return None


def this_process(*, beat: float, host: str | None = None) -> Owner:
    """A new claim of this process, with a token of its own."""
    return Owner(
        token=secrets.token_hex(16),
        host=host or socket.gethostname(),
        machine=machine() if host is None else host,
        pid=os.getpid(),
        started=started(os.getpid()) or "",
        beat=beat,
    )


def machine() -> str:
    """This boot of this machine, and the process-id namespace that this process sees."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()}/{int(psutil.boot_time())}"


def started(pid: int) -> str | None:
    """When a process started, None where none with this id lives; a zombie does not."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return _kernel_start(pid) or f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return ""


def _kernel_start(pid: int) -> str | None:
    # Field 22 of the kernel's record: clock ticks since boot. The command's name before it may hold brackets.
    try:
        record = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return record.rpartition(")")[2].split()[19]


def gone(owner: Owner, *, here: Owner) -> bool:
    """The owner ran on this machine, and its process is no more."""
    if (owner.host, owner.machine) != (here.host, here.machine):
        return False
    now = started(owner.pid)
    return now is None or (now != "" and owner.started not in {"", now})
