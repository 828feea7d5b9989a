"""What has to be so around `ray.init` in this process, and is put back afterwards."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ray import _raylet
from ray._private import ray_constants


@contextmanager
def loopback_only() -> Iterator[None]:
    """Inside, Ray takes 127.0.0.1 for this machine's address, and what it writes is for this user alone.

    Its switch for that is meant for other systems and read at import, hence both the variable and the constant.
    """
    before, umask = ray_constants.ENABLE_RAY_CLUSTER, os.umask(0o077)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with environment({ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        os.umask(umask)


def read_environment_again() -> None:
    """Ray reads its mode and token when it is imported, which may be long before: let it look again."""
    _raylet.Config.initialize("")  # type: ignore[attr-defined] # what Ray calls itself; not in its stubs
    _raylet.AuthenticationTokenLoader.instance().reset_cache()  # type: ignore[attr-defined] # as above


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Inside, the environment has these settings."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def working_folder(folder: Path) -> Iterator[None]:
    """Inside, the working folder is this one: Ray makes it the first place where workers look for modules."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
