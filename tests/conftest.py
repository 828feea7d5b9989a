"""What all tests share."""

import pytest

pytest_plugins = ["fixtures_server", "fixtures_cloud", "fixtures_tracking"]


@pytest.fixture(scope="session")
def ray_cluster():
    """The session's one Ray cluster, of two CPUs."""
    from orchestrator.cluster.ray_cluster import open_cluster

    with open_cluster("local", cpus=2) as cluster:
        yield cluster
