"""Ray for one job: started here, safely and quietly, or reached at an address within a bounded time.

A cluster started here (`orchestrator.cluster.local_start`) is gone with `close`. Ray puts the driver's working folder
first on its workers' path, so it is connected to from an empty one.
"""

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import ray
from ray._private import worker as ray_worker

from orchestrator.cluster.local_start import LocalStart
from orchestrator.cluster.ray_environment import environment, loopback_only, read_environment_again, working_folder
from orchestrator.errors import ResourceMissing

LOCAL = "local"
_HEALTH_CHECK = (sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address")
_SECONDS_BETWEEN_TRIES = 1.0
_USUAL_PORT = 6379
_REFUSALS = (OSError, RuntimeError, ValueError, ConnectionError, ray.exceptions.RayError)

log = logging.getLogger(__name__)


class RayCluster:
    """A cluster in use. `close` ends what was started here and lets go of what was not; harmless twice."""

    def __init__(self, let_go: Callable[[], None] | None = None) -> None:
        self._let_go = let_go

    def close(self) -> None:
        """Disconnect; a cluster started here ends with all its processes."""
        if self._let_go is not None:
            self._let_go()
            self._let_go = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_cluster(
    address: str, *, timeout: float = 120.0, cpus: int | None = None, begun: LocalStart | None = None
) -> RayCluster:
    """Ray at `address`, or started here for "local" with `cpus` CPUs (default: those this process may use).

    begun: a start for "local" that is under way already, ended with the cluster. A session of Ray's that this process
    has already is used and left open. Raises ResourceMissing.
    """
    if ray.is_initialized():
        log.info("using the Ray session of this process")
        return RayCluster()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return _start(begun or LocalStart(cpus), timeout) if address == LOCAL else _connect(address, timeout)


def _start(local: LocalStart, timeout: float) -> RayCluster:
    began = time.monotonic()
    settings = ExitStack()
    try:
        address = local.address(timeout)
        settings.enter_context(environment(local.environment))
        read_environment_again()
        with loopback_only():
            _init(local.empty, address=address)
    except _REFUSALS as error:
        settings.close()
        local.close()
        raise ResourceMissing(f"Ray does not start here: {_last_line(error)}", where="cluster") from error
    except BaseException:
        local.close()
        raise
    log.info("Ray %s is up here after %.1f s more", ray.__version__, time.monotonic() - began)

    def end() -> None:
        ray.shutdown()
        local.close()
        settings.close()

    return RayCluster(end)


def _connect(address: str, timeout: float) -> RayCluster:
    _refuse_client(address)
    deadline = time.monotonic() + timeout
    if address != "auto":
        _wait_for_port(address, deadline, timeout)
        _wait_for_health(address, deadline, timeout)
    try:
        with environment(token_mode()), tempfile.TemporaryDirectory() as empty:
            read_environment_again()
            _init(Path(empty), address=address)
    except _REFUSALS as error:
        mend = "run the driver on a node of that cluster, with its versions of Python and Ray (`apportion doctor`)"
        raise ResourceMissing(
            f"Ray at {address} refuses: {_last_line(error)}", where="cluster.address", mend=mend
        ) from error
    log.info("connected to Ray at %s", address)
    return RayCluster(ray.shutdown)


def _init(empty: Path, **options: str | int | bool) -> None:
    """`ray.init` from an empty folder, without a word on the terminal."""
    with working_folder(empty):
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    # the loop says itself which worker died; Ray would print it too, and has no public switch for that
    ray_worker._worker_logs_enabled = False  # noqa: SLF001 - see above; a test holds the effect


def _refuse_client(address: str) -> None:
    if address.startswith("ray://"):
        what = f"{address} is a Ray Client address, through which calls are slow and interrupts are lost"
        mend = "run the driver on a node of the cluster (`apportion submit`) and give host:port or auto"
        raise ResourceMissing(what, where="cluster.address", mend=mend)


def _wait_for_port(address: str, deadline: float, timeout: float) -> None:
    """Ray itself would try for two minutes and then end the process."""
    host, _, port = address.rpartition(":") if ":" in address else (address, "", str(_USUAL_PORT))
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=2.0).close()
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) or time.monotonic() + _SECONDS_BETWEEN_TRIES > deadline:
                raise _unreachable(address, timeout, str(error)) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)
        else:
            return


def _wait_for_health(address: str, deadline: float, timeout: float) -> None:
    """Ask in a process of its own, since a wrong answer can end the process that asks."""
    seconds = max(10.0, deadline - time.monotonic())
    try:
        # fixed words and an address that stands as one argument: nothing is interpreted by a shell
        done = subprocess.run([*_HEALTH_CHECK, address], capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, timeout, "something listens there that does not answer as Ray does") from error
    if done.returncode:
        raise _unreachable(address, timeout, _last_line(done.stderr or done.stdout))


def _unreachable(address: str, timeout: float, reason: str) -> ResourceMissing:
    return ResourceMissing(
        f"no Ray cluster answers at {address} within {timeout:.0f} s: {reason}",
        where="cluster.address",
        mend="check the address and the token (RAY_AUTH_TOKEN_PATH), or use `address: local`",
    )


def token_mode() -> Mapping[str, str]:
    """Token mode where the user has given a token and no mode; what the user set stays."""
    given = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    return {"RAY_AUTH_MODE": "token"} if given and "RAY_AUTH_MODE" not in os.environ else {}


def _last_line(error: BaseException | str) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
