"""What a worker must have in common with the driver."""

from dataclasses import replace

import pytest

from orchestrator.cluster.ray_nodes import Ask, Node, largest_offer, room_for
from orchestrator.cluster.worker_check import StoreProbe, local_folder, problems_of
from orchestrator.errors import ResourceMissing
from workers.worker_facts import Probe, facts_here

DRIVER = facts_here("driver")


def test_the_same_process_may_work():
    assert problems_of(facts_here("worker-1"), DRIVER) == []


@pytest.mark.parametrize("name", ["Python", "torch", "ray", "apportion"])
@pytest.mark.parametrize(("version", "said"), [("0.0.9", "0.0.9"), ("", "not installed")])
def test_another_version_is_named_with_the_drivers(name, version, said):
    versions = tuple((each, version if each == name else there) for each, there in DRIVER.versions)
    [problem] = problems_of(replace(DRIVER, worker="w3", host="node7", versions=versions), DRIVER)
    assert said in problem.what
    assert dict(DRIVER.versions)[name] in problem.what
    assert "node7" in problem.where


def test_another_folder_with_other_files_is_named_with_the_drivers():
    [problem] = problems_of(replace(DRIVER, folder="/elsewhere", source="0" * 16), DRIVER)
    assert "/elsewhere" in problem.what
    assert DRIVER.folder in problem.what


def test_another_folder_with_the_same_files_may_work():
    assert problems_of(replace(DRIVER, folder="/elsewhere", host="node7"), DRIVER) == []


def test_a_store_folder_that_is_another_there_is_refused(tmp_path):
    probe = StoreProbe(tmp_path)
    seen = probe.write()
    assert facts_here("w", seen).sees_store is True
    elsewhere = Probe(seen.path.replace(str(tmp_path), str(tmp_path / "other")), seen.content)
    stale = Probe(seen.path, "another content")
    for other in (elsewhere, stale):
        [problem] = problems_of(facts_here("w", other), DRIVER)
        assert "store.tracking_uri" in problem.mend
    probe.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_store_folder_that_cannot_be_written_is_missing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceMissing, match="cannot be written"):
        StoreProbe(tmp_path / "file" / "chunks").write()


@pytest.mark.parametrize(
    ("address", "folder"),
    [
        ("/a/b", "/a/b"),
        ("file:///a/b%20c", "/a/b c"),
        ("mlflow-artifacts+http://host:5000/x", None),
        ("s3://bucket/x", None),
    ],
)
def test_an_address_is_a_local_folder_or_it_is_not(address, folder):
    assert local_folder(address) == (None if folder is None else type(local_folder("/a"))(folder))


NODES = [
    Node("a", "small", {"CPU": 4.0, "memory": 8.0 * 2**30}),
    Node("b", "large", {"CPU": 16.0, "GPU": 2.0, "memory": 64.0 * 2**30, "fast_disk": 1.0}),
]


@pytest.mark.parametrize(
    ("ask", "room"),
    [
        (Ask(cpus=1), 20),
        (Ask(cpus=3), 6),
        (Ask(cpus=1, gpus=0.25), 8),
        (Ask(cpus=1, gpus=0.1), 16),
        (Ask(cpus=0.1), 200),
        (Ask(cpus=1, memory=16 * 2**30), 4),
        (Ask(cpus=1, resources={"fast_disk": 0.5}), 2),
        (Ask(cpus=1, gpus=4), 0),
        (Ask(cpus=1, resources={"tape": 1}), 0),
    ],
)
def test_as_many_workers_fit_as_the_scarcest_resource_allows(ask, room):
    assert room_for(ask, NODES) == room


def test_the_offer_is_that_of_the_node_nearest_to_the_ask():
    assert largest_offer(Ask(cpus=1, gpus=4), NODES) == "the largest of 2 nodes (large) offers 16 CPUs, 2 GPUs"
    assert largest_offer(Ask(), []) == "the cluster has no node that is up"
