"""Verify, join, tidy, hand on and ask through an MLflow server's artifact proxy."""

import numpy as np
import pytest
from stored_job import carried_out, hostile_job

from orchestrator import open_result
from orchestrator.keeping.carrying import export, exported_source, merge
from orchestrator.keeping.garbage import garbage, remove
from orchestrator.keeping.verification import bad_files, repair
from orchestrator.query.engine import Limits, answer
from orchestrator.query.views import views_of
from orchestrator.results import open_stored, stored_job
from orchestrator.store.compaction import compact
from orchestrator.store.manifest import MANIFEST_TAG
from workers.chunk_name import parse_name


@pytest.mark.slow
def test_a_store_behind_a_server_is_kept_like_one_in_a_folder(tmp_path, mlflow_server):
    def the_job(retrains: int, name: str = "kept-there"):
        campaigns = [{"design": "bernoulli", "probability": 0.5, "retrains": retrains}]
        return hostile_job(tmp_path, name, campaigns=campaigns, store={"tracking_uri": mlflow_server.address})

    carried_out(the_job(20))
    job = the_job(40)
    before = carried_out(job).values("banzhaf").values
    assert list(bad_files(stored_job(job))) == []

    stored = stored_job(job)
    [run] = stored.runs
    with stored.tracker.lease():
        done = compact(
            stored.store, run.campaign_id, lambda name: stored.tracker.set_tags(run.run_id, {MANIFEST_TAG: name})
        )
    assert (done.small, done.large) == (2, 1)
    stored = stored_job(job)
    found = garbage(stored)
    assert [each.kind for each in found] == ["joined", "joined"]
    with stored.tracker.lease():
        remove(stored, found)
    np.testing.assert_array_equal(open_result(job).values("banzhaf").values, before)
    with answer(
        "select count(*) as n from retrains where has(3) or not has(3)", views_of(open_stored(job), print), Limits()
    ) as rows:
        assert rows.read_all().to_pylist() == [{"n": 42}]

    export(stored_job(job), tmp_path / "handed-on")
    stored = stored_job(job)
    chunks = stored.store.chunks.stores[run.campaign_id]
    [large] = [name for name in chunks.names() if parse_name(name)]
    path = next(mlflow_server.artifacts.rglob(large))
    path.write_bytes(path.read_bytes()[:-9])
    bad = list(bad_files(stored))
    assert [each.name for each in bad] == [large]
    with stored.tracker.lease():
        [place] = repair(stored, bad)
        assert place.endswith(f"quarantine/{large}")
        assert large not in chunks.names()
        merge(stored, exported_source(tmp_path / "handed-on"), print)
    np.testing.assert_array_equal(open_result(job).values("banzhaf").values, before)
