"""Bounds that no question steps over: memory of the whole process, and time.

DuckDB's own limits hold for its tables, sorts and hash maps. One call such as `lpad('x', 2000000000, 'y')` allocates
beside them, gigabytes of it, and is not interrupted while it works. So the kernel bounds what the process may
allocate (Linux; mapped files of the store do not count), and a question that does not end when it is interrupted is
abandoned.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

BESIDE = 2**28
"""Bytes for what is not DuckDB's: Arrow's batches, threads' stacks, the answer as it is written."""

SECONDS_TO_END = 10.0


@contextlib.contextmanager
def bounded_memory(size: int) -> Iterator[None]:
    """Inside, the process allocates at most `size` bytes and BESIDE more; what asks for more gets none."""
    now = _allocated()
    if now is None:
        yield
        return
    import resource  # noqa: PLC0415 - where there is a /proc there is this

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = now + size + BESIDE
    ceilings = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *ceilings]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextlib.contextmanager
def bounded_time(
    seconds: float, interrupt: Callable[[], None], abandon: Callable[[], None] | None = None
) -> Iterator[None]:
    """Inside, `interrupt` is called after `seconds`, and `abandon` where that does not end it SECONDS_TO_END later."""
    ended = Event()

    def watch() -> None:
        if ended.wait(seconds):
            return
        interrupt()
        if not ended.wait(SECONDS_TO_END) and abandon is not None:
            abandon()

    watcher = Thread(target=watch, name="apportion-query", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _allocated() -> int | None:
    """Bytes of private memory that the process has now; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")]
    return found[0] if found else None
