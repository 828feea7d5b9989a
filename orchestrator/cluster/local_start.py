"""A private Ray on this machine, begun now and used later: it starts in a process of its own meanwhile."""

import contextlib
import os
import selectors
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.cluster.private_folder import PrivateFolder
from orchestrator.errors import ResourceMissing

SECONDS_TO_END = 10.0
_ANY_SYSTEM = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


class LocalStart:
    """A Ray that is being started with `cpus` CPUs (default: those this process may use); `close` ends it.

    environment: what a driver needs to connect to it. It listens on the loopback interface only, asks for a token,
    has no dashboard, reports no usage; its files are this user's alone.
    """

    def __init__(self, cpus: int | None = None) -> None:
        self._folder = PrivateFolder()
        self._address = ""
        try:
            self.empty, self.environment = self._folder.make()
            self._process = self._begun(cpus or len(os.sched_getaffinity(0)))
        except OSError as error:
            self._folder.remove()
            raise _not_started(str(error)) from error

    def _begun(self, cpus: int) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("head_process.py")
        # Ray takes 127.0.0.1 for this machine's address by a switch that is meant for other systems
        settings = {"RAY_USAGE_STATS_ENABLED": "0", **os.environ, **self.environment, _ANY_SYSTEM: "0"}
        private = os.open(self._folder.path / "start.log", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(private, "w", encoding="utf-8") as log:
            # fixed words, and a folder that stands as one argument: nothing is interpreted by a shell
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", str(script), str(cpus), str(self._folder.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.empty,
                env=settings,
                umask=0o077,
                start_new_session=True,  # an interrupt from the terminal is the driver's
            )

    def address(self, timeout: float = 120.0) -> str:
        """Where it listens, once it does; raises ResourceMissing where it does not start."""
        if not self._address:
            assert self._process.stdout is not None, "opened with a pipe"
            with selectors.DefaultSelector() as selector:
                selector.register(self._process.stdout, selectors.EVENT_READ)
                ready = selector.select(timeout)
            self._address = self._process.stdout.readline().strip() if ready else ""
        if not self._address:
            reason = self._said() or f"it has not answered for {timeout:.0f} s"
            self.close()
            raise _not_started(reason)
        return self._address

    def _said(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._folder.path / "start.log").read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
        return ""

    def close(self) -> None:
        """End it with all its processes, also while it starts; harmless twice."""
        if not self._address:
            self._process.kill()  # the kernel ends those that it has started
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _not_started(reason: str) -> ResourceMissing:
    mend = "look at free memory and at /dev/shm; `cluster: {address: in_process}` runs without Ray"
    return ResourceMissing(f"Ray does not start here: {reason}", where="cluster", mend=mend)
