"""Truncated walks from end to end: stops recomputed from an untruncated campaign, resume, a chunk lost."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from orchestrator import Job, arrays_data, run
from orchestrator.results import open_result, open_tracker
from orchestrator.status import job_status
from orchestrator.truncated_walks import open_walks

N, WALKS, TOLERANCE, PATIENCE = 18, 12, 0.25, 3


def a_job(folder: Path, *, truncate: bool, walks: int = WALKS) -> Job:
    """The job in a folder of its own for walks that are truncated and for those that are not."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(N + 30, 3))
    y = X @ np.array([1.0, -0.5, 0.3]) + 0.3 * rng.normal(size=N + 30)
    walk = {"design": "permutation", "order": "antithetic", "retrains": walks * (N - 1)}
    return Job(
        name="walks",
        data=arrays_data(X[:N], y[:N], X[N:], y[N:]),
        learner={"kind": "ridge"},
        campaigns=[
            {**walk, "truncate": {"tolerance": TOLERANCE, "patience": PATIENCE}} if truncate else walk,
        ],
        cluster={"address": "in_process"},
        values=["shapley_permutations"],
        folder=folder,
    )


def stops_by_hand(campaign):
    """From an untruncated campaign's losses, each walk's number of prefixes."""
    ends = campaign.ends("squared_error")
    full, empty = ends.full.mean(), ends.empty.mean()
    rows = np.concatenate([r.losses for r in campaign.retrains("squared_error", 0, campaign.plan.draws)])
    close = np.abs(rows.mean(axis=1, dtype=float).reshape(-1, N - 1) - full) <= TOLERANCE * abs(empty - full)
    stops = []
    for walk in close:
        runs = [place for place in range(PATIENCE, N) if walk[place - PATIENCE : place].all()]
        stops.append(runs[0] if runs else N - 1)
    return np.array(stops)


@pytest.fixture
def folder(template_database, tmp_path):
    """Two folders, each with an empty store."""
    for name in ("short", "whole"):
        (tmp_path / name).mkdir()
        shutil.copy(template_database, tmp_path / name / "apportion.db")
    return tmp_path


@pytest.fixture
def truncated(folder):
    return run(a_job(folder / "short", truncate=True)).campaigns[0]


def test_walks_stop_where_an_untruncated_campaign_says_and_rows_are_the_same_bits(truncated, tmp_path):
    whole = run(a_job(tmp_path / "whole", truncate=False)).campaigns[0]
    stops = stops_by_hand(whole)
    assert (stops < N - 1).sum() > 0
    walks = open_walks(truncated.plan, truncated.store)
    assert [walks.stop(walk) for walk in range(WALKS)] == stops.tolist()

    found = list(truncated.retrains("squared_error", 0, truncated.plan.draws))
    draws = np.concatenate([block.draws for block in found])
    np.testing.assert_array_equal(draws, np.flatnonzero((np.arange(N - 1) < stops[:, None]).ravel()))
    np.testing.assert_array_equal(np.concatenate([block.units for block in found]), draws // (2 * (N - 1)))
    full_rows = np.concatenate([r.losses for r in whole.retrains("squared_error", 0, whole.plan.draws)])
    assert np.concatenate([block.losses for block in found]).tobytes() == full_rows[draws].tobytes()
    trained = len(set(truncated.row_ids()))
    assert trained < len(set(whole.row_ids()))
    notes = truncated.values("shapley_permutations").notes
    assert any(f"{(stops < N - 1).sum()} of {WALKS} walks were truncated" in note for note in notes)
    assert truncated.store.facts().rows <= trained + (PATIENCE - 1) * WALKS + 8


def test_the_end_of_a_truncated_campaign_is_told_and_its_status_is_whole(folder, capsys):
    job = a_job(folder / "short", truncate=True)
    for _ in range(2):
        run(job)
        assert "(100%)" in capsys.readouterr().err
        (status,) = job_status(open_tracker(job)).campaigns
        assert status.stored == status.planned < WALKS * (N - 1)


def test_running_again_trains_nothing_and_a_reader_sees_whole_walks(truncated, tmp_path):
    rows = truncated.store.facts().rows
    again = run(a_job(tmp_path / "short", truncate=True)).campaigns[0]
    assert again.store.facts().rows == rows
    read = open_result(a_job(tmp_path / "short", truncate=True)).campaigns[0]
    assert read.plan.draws == WALKS * (N - 1)
    assert not read.missing()


def test_a_lost_chunk_is_trained_again_to_the_same_rows(truncated, tmp_path):
    before = {row: truncated.store.read([row], "squared_error").losses.tobytes() for row in truncated.row_ids()}
    max((tmp_path / "short").rglob("0*-*.parquet"), key=lambda path: path.stat().st_size).unlink()
    again = run(a_job(tmp_path / "short", truncate=True)).campaigns[0]
    assert {row: again.store.read([row], "squared_error").losses.tobytes() for row in again.row_ids()} == before


def test_more_walks_extend_the_campaign(truncated, tmp_path):
    more = run(a_job(tmp_path / "short", truncate=True, walks=WALKS + 4)).campaigns[0]
    assert more.plan.draws == (WALKS + 4) * (N - 1)
    assert not more.missing()
    assert more.id == truncated.id
