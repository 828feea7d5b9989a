"""Where influences are worked out: here what is small, on Ray what is large, here again where Ray is not to be had."""

from types import SimpleNamespace

import pytest
from stored_job import carried_out, hostile_job

from orchestrator.cluster import ray_cluster as clusters
from orchestrator.errors import ResourceMissing
from orchestrator.influences import placed
from orchestrator.influences.placed import PlacedInfluences
from orchestrator.jobs.job import ClusterSpec, WorkersSpec


class Large(PlacedInfluences):
    """Takes every influence for a large one."""

    def _is_worth_it(self, work):
        return self._there is not self._here


@pytest.fixture(scope="module")
def result(tmp_path_factory, template_database):
    folder = tmp_path_factory.mktemp("placed")
    (folder / "apportion.db").write_bytes(template_database.read_bytes())
    return carried_out(hostile_job(folder))


def at(result, address, **workers):
    changes = {"cluster": ClusterSpec(address=address), "workers": WorkersSpec(**workers)}
    return result.job.model_copy(update=changes)


def never(*args, **options):
    raise AssertionError("this is not to be called")


def assert_same(found, here):
    assert found.values.tobytes() == here.values.tobytes()
    assert found.mean.standard_errors.tobytes() == here.mean.standard_errors.tobytes()
    assert found.notes == here.notes


@pytest.mark.parametrize(
    ("address", "workers", "operations", "blocks", "is_up", "worth_it"),
    [
        ("local", 2, 2e12, 2, False, True),
        ("local", 2, 2e11, 2, False, False),
        ("local", 2, 2e11, 2, True, True),
        ("local", 2, 5e10, 2, True, False),
        ("local", 1, 2e12, 2, True, False),
        ("10.0.0.1:6379", 1, 2e12, 2, False, True),
        ("local", 2, 2e12, 1, True, False),
        ("in_process", 2, 2e15, 2, True, False),
    ],
)
def test_ray_is_for_what_is_large(result, monkeypatch, address, workers, operations, blocks, is_up, worth_it):
    monkeypatch.setattr(placed, "has_ray_session", lambda: is_up)
    work = SimpleNamespace(operations=operations, blocks=lambda parts: [None] * blocks)
    pool = PlacedInfluences(at(result, address, count=workers), never)
    assert pool._is_worth_it(work) is worth_it


def test_small_influences_need_no_ray(result, monkeypatch):
    monkeypatch.setattr(clusters, "open_cluster", never)
    with PlacedInfluences(at(result, "local"), never) as pool:
        assert_same(result.values("banzhaf", pool=pool), result.values("banzhaf"))


def test_where_ray_is_not_reached_values_are_worked_out_here_with_a_note(result, monkeypatch):
    def refuse(*args, **options):
        raise ResourceMissing("no Ray cluster answers at here:1 within 1 s")

    monkeypatch.setattr(clusters, "open_cluster", refuse)
    said = []
    with Large(at(result, "local"), said.append) as pool:
        for _ in range(2):
            assert_same(result.values("banzhaf", pool=pool), result.values("banzhaf"))
    assert said == ["note: values are worked out in this process: no Ray cluster answers at here:1 within 1 s"]


@pytest.mark.ray
def test_on_ray_a_jobs_values_have_the_same_bits(result, ray_cluster):
    with Large(at(result, "local"), never) as pool:
        found = result.values("banzhaf", pool=pool)
        assert found.statistics is None, "it was made here"
        assert_same(found, result.values("banzhaf"))
