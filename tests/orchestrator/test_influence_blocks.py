"""Influences worked out a block of test instances at a time: the same bits in one piece, in pieces and on Ray."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from estimators.aggregators.blocks import Again, aggregate
from estimators.designs import make_design
from estimators.errors import EstimatorError
from estimators.registry import VALUES, value_method
from estimators.retrains import EndRows, Retrains
from orchestrator.influences.work import InfluenceWork, InThisProcess
from workers.value_work import ValueRequest, block_influence

N, N_TEST, DRAWS = 9, 300, 1300
DESIGNS = {
    "banzhaf": "bernoulli",
    "shapley": "sizes",
    "beta_shapley": "paired",
    "weighted_banzhaf": "bernoulli",
    "banzhaf_least_squares": "paired",
    "banzhaf_sample_reuse": "bernoulli",
    "downsampling": "uniform",
    "leave_one_out": "leave_one_out",
    "expected_leave_one_out": "bernoulli",
    "shapley_permutations": "permutation",
    "ame": "bernoulli",
    "datamodel": "uniform",
}
OPTIONS = {"sizes": {"serves": (("shapley", 1.0),)}, "ame": {"probability": (0.2, 0.4, 0.6, 0.8)}}


def design_of(value, n=N):
    name = DESIGNS[value]
    return make_design(name, n=n, seed=3, **OPTIONS.get(value, OPTIONS.get(name, {})))


def work_of(value, *, n=N, n_test=N_TEST, draws=DRAWS, deterministic=False):
    """A campaign of a game with effects, a bend and noise, some of its tests with the same loss in every row."""
    rng = np.random.default_rng(11)
    design = design_of(value, n)
    draws = min(draws, design.draw_count or draws)
    draws -= draws % design.unit_rows
    members = design.draws(0, draws)
    line = rng.normal(size=(n, n_test)) / np.sqrt(n)

    def losses(x):
        found = 2.0 + np.maximum(x @ line, -0.5) + 0.1 * rng.normal(size=(len(x), n_test))
        found[:, 7::50] = 0.25
        return found.astype(np.float32)

    stored = losses(members.astype(np.float64))
    full, empty = losses(np.ones((4, n))), losses(np.zeros((1, n)))[0]
    ends = EndRows(full[:1] if deterministic else full, empty, deterministic=deterministic)
    units = design.units(0, draws)

    def rows():
        for start in range(0, draws, 100 * design.unit_rows):
            part = slice(start, start + 100 * design.unit_rows)
            yield Retrains(members[part], stored[part], draws=np.arange(draws)[part], units=units[part])

    return InfluenceWork(ValueRequest(value, "loss", design, ends), Again(rows), draws)


def arrays_of(found):
    mean = found.mean
    return [
        getattr(each, name) for each in (found, mean) for name in ("values", "standard_errors", "degrees_of_freedom")
    ]


def assert_same(a, b):
    for x, y in zip(arrays_of(a), arrays_of(b), strict=True):
        assert x.tobytes() == y.tobytes()
    assert a.notes == b.notes
    assert np.array_equal(a.test_index, b.test_index)


def test_every_value_of_pairs_is_here():
    assert set(DESIGNS) == {name for name, each in VALUES.items() if not each.per_instance and not each.from_walks}


@pytest.mark.parametrize("value", DESIGNS)
def test_one_block_at_a_time_gives_the_bits_of_all_in_one(value):
    work = work_of(value)
    assert len(work.blocks()) == 1
    assert [block.width for block in work.blocks(parts=3)] == [128, 128, 44]
    whole = InThisProcess().influence(work)
    assert_same(InThisProcess(parts=3).influence(work), whole)
    assert_same(InThisProcess(parts=2).influence(work), whole)
    assert np.isfinite(whole.values).all()


@pytest.mark.parametrize("value", DESIGNS)
def test_blocks_give_the_aggregators_own_values(value):
    work = work_of(value)
    ours = InThisProcess(parts=3).influence(work)
    method = value_method(value)
    whole = method.make(loss="loss", ends=work.request.ends, design=work.request.design)
    own = aggregate(whole, work.rows)
    for blocked, alone in zip(arrays_of(ours), arrays_of(own), strict=True):
        np.testing.assert_allclose(blocked, alone, rtol=1e-6, atol=1e-9)
    assert sorted(ours.notes) == sorted(own.notes)


def test_influences_in_blocks_add_up_to_that_of_all_rows():
    work = work_of("downsampling")
    half = work.draws // 2

    def part(first, last):
        rows = Again(lambda: (each.rows((each.draws >= first) & (each.draws < last)) for each in work.rows))
        found = InThisProcess(parts=2).influence(replace(work, rows=rows, draws=last - first))
        return replace(found, sources=frozenset({f"draws {first}"}))

    added, whole = part(0, half) + part(half, work.draws), InThisProcess(parts=2).influence(work)
    for x, y in zip(arrays_of(added), arrays_of(whole), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11)


@pytest.fixture(scope="module")
def by_value(ray_cluster):
    import sys

    import ray

    here = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(here)
    yield
    ray.cloudpickle.unregister_pickle_by_value(here)


def slow_at_first(request, block, *stretches):
    """Blocks come back in the wrong order: the first takes longest."""
    import time

    if block.start == 0:
        time.sleep(0.5)
    return block_influence(request, block, *stretches)


def dying(folder):
    """The work of a task whose worker is killed the first time that it has the last block."""

    def carried_out(request, block, *stretches):
        marker = Path(folder, str(block.start))
        if block.is_last and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block_influence(request, block, *stretches)

    return carried_out


def always_dying(request, block, *stretches):
    del request, block, stretches
    os.kill(os.getpid(), signal.SIGKILL)


def raising(request, block, *stretches):
    del request, block, stretches
    raise EstimatorError("this value cannot be had")


@pytest.mark.ray
class TestOnRay:
    @pytest.mark.parametrize("value", ["banzhaf", "shapley", "downsampling", "datamodel"])
    def test_tasks_give_the_bits_of_one_process(self, by_value, value):
        from orchestrator.cluster.influence_tasks import RayTasks

        work = work_of(value, draws=6000)
        assert_same(RayTasks(function=slow_at_first).influence(work), InThisProcess().influence(work))

    def test_a_block_whose_worker_is_killed_is_sent_again(self, by_value, tmp_path):
        from orchestrator.cluster.influence_tasks import RayTasks

        work = work_of("banzhaf")
        found = RayTasks(function=dying(str(tmp_path))).influence(work)
        assert [path.name for path in tmp_path.iterdir()] == ["256"]
        assert_same(found, InThisProcess().influence(work))

    def test_a_block_that_ends_every_worker_is_named(self, by_value):
        from orchestrator.cluster.influence_tasks import RayTasks
        from orchestrator.errors import ResourceMissing

        with pytest.raises(ResourceMissing, match=r"test instances \d+ to \d+ of a value failed 3 times on Ray"):
            RayTasks(function=always_dying).influence(work_of("banzhaf"))

    def test_what_an_estimator_raises_comes_back_as_it_is(self, by_value):
        from orchestrator.cluster.influence_tasks import RayTasks

        with pytest.raises(EstimatorError, match="this value cannot be had"):
            RayTasks(function=raising).influence(work_of("banzhaf"))
