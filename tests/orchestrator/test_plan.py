"""The plan: fixed rows, fixed chunks, every row once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimators.designs import Parameters, make_design
from estimators.seeding import retrain_seeds
from estimators.subsets import instance_identities, unpack
from orchestrator.plan import Plan, PlanFacts, RowId, chunk_rows, end_replicates


def plan_of(draws: int, *, n: int = 12, design: str = "bernoulli", chunk: int = 8, together: int = 4) -> Plan:
    identities = instance_identities([f"instance {i}".encode() for i in range(n)])
    facts = PlanFacts(
        campaign="a",
        design=design,
        parameters=Parameters(probability=0.5 if design == "bernoulli" else None),
        seed=3,
        learner_seed=5,
        n=n,
        together=together,
        chunk_rows=chunk,
        end_replicates=2,
        losses=("cross_entropy",),
        train_losses=False,
        deterministic=False,
    )
    made = make_design(design, n=n, seed=3, probability=0.5 if design == "bernoulli" else None)
    return Plan(facts, made, identities, draws)


def all_ids(plan: Plan) -> list[RowId]:
    return [row for rows in plan.all_rows() for row in rows.ids]


def test_the_plan_begins_with_replicates_of_d_and_the_empty_subset() -> None:
    ends = plan_of(10).end_rows()
    assert ends.members.sum(axis=1).tolist() == [12, 12, 0]
    assert ends.replicates.tolist() == [0, 1, 0]
    assert ends.keys[0] == ends.keys[1] != ends.keys[2]


def test_every_wanted_row_is_in_exactly_one_chunk_and_no_other_row_is() -> None:
    plan = plan_of(700, n=6)  # 64 subsets: most draws are repeats
    wanted = set(all_ids(plan))
    trained = [
        RowId(key, replicate)
        for task in plan.tasks(wanted)
        for key, replicate in zip(task.keys, task.replicates.tolist(), strict=True)
    ]
    assert len(trained) == len(set(trained))
    assert set(trained) == wanted
    assert len(wanted) <= 64 + 1


def test_rows_stay_in_their_chunk_whatever_is_there_already() -> None:
    plan = plan_of(300)
    full = {row: task.chunk for task in plan.tasks(set(all_ids(plan))) for row in rows_of(task)}
    half = set(list(full)[::2])
    assert {row: task.chunk for task in plan.tasks(half) for row in rows_of(task)} == {row: full[row] for row in half}


def rows_of(task) -> list[RowId]:
    return [RowId(key, replicate) for key, replicate in zip(task.keys, task.replicates.tolist(), strict=True)]


def test_a_task_carries_the_members_and_seeds_of_its_keys() -> None:
    plan = plan_of(40)
    by_key = {row.key: members for rows in plan.all_rows() for row, members in zip(rows.ids, rows.members, strict=True)}
    for task in plan.tasks(set(all_ids(plan))):
        members = unpack(task.members, 12)
        for key, row in zip(task.keys, members, strict=True):
            np.testing.assert_array_equal(row, by_key[key])
        np.testing.assert_array_equal(task.seeds, retrain_seeds(5, list(task.keys), task.replicates))


@settings(max_examples=25, deadline=None)
@given(first=st.integers(1, 600), more=st.integers(0, 600))
def test_a_raised_budget_keeps_every_row_and_chunk_before_it(first: int, more: int) -> None:
    small, large = plan_of(first), plan_of(first + more)
    assert all_ids(large)[: small.length] == all_ids(small)


def test_a_cut_plan_is_the_plan_of_that_budget() -> None:
    assert all_ids(plan_of(500).cut(123)) == all_ids(plan_of(123))


def test_plan_facts_are_the_same_bytes_and_read_back() -> None:
    facts = plan_of(1).facts
    assert PlanFacts.decode(facts.encode()) == facts
    assert facts.encode() == plan_of(9).facts.encode()


def test_a_plan_of_a_newer_format_is_not_read_by_accident() -> None:
    with pytest.raises(TypeError):
        PlanFacts.decode(plan_of(1).facts.encode().replace(b'"n":', b'"unheard_of":'))


def test_a_deterministic_learner_retrains_d_once() -> None:
    assert end_replicates(4000, deterministic=True) == 1
    assert end_replicates(4000, deterministic=False) == 16
    assert end_replicates(9, deterministic=False) == 3
    assert end_replicates(2, deterministic=False) == 2


def test_chunks_are_whole_groups_of_k() -> None:
    for seconds in (1e-6, 0.01, 1.0, 1e4):
        rows = chunk_rows(together=8, seconds_per_retrain=seconds, bytes_per_row=1e4, rows=10**5, workers=2)
        assert rows % 8 == 0
        assert rows >= 8
    assert chunk_rows(together=8, seconds_per_retrain=0.05, bytes_per_row=1e4, rows=10**5, workers=2) == 96
    assert chunk_rows(together=8, seconds_per_retrain=1e-6, bytes_per_row=8 * 2**20, rows=10**5, workers=2) == 8
