"""Whether this process has a session of Ray's, told without importing it."""

import sys


def has_ray_session() -> bool:
    """Whether Ray is up in this process."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
