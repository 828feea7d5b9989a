"""Budgets that change, campaigns that are not finished, and what every run keeps so that it can be replayed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_run import a_job, carried_out

from orchestrator import session
from orchestrator.errors import JobError, ResourceMissing
from orchestrator.results import open_result, open_tracker
from orchestrator.tracking.journal import Journal
from workers.chunk_name import parse_name

pytestmark = pytest.mark.usefixtures("tracking_database")


def bernoulli(retrains: object) -> list[dict[str, object]]:
    return [{"design": "bernoulli", "probability": 0.5, "retrains": retrains}]


def test_a_lowered_budget_takes_exactly_the_first_draws(tmp_path: Path) -> None:
    first, _ = carried_out(a_job(tmp_path, campaigns=bernoulli(40)))
    expected = first.campaigns[0].values("banzhaf", draws=25)
    lowered = a_job(tmp_path, campaigns=bernoulli(25))
    found, said = carried_out(lowered)
    assert "27 of 27 retrains are in the store already" in said
    for result in (found, open_result(lowered)):
        influence = result.values("banzhaf")
        assert influence.retrains == 25
        np.testing.assert_array_equal(influence.values, expected.values)
        np.testing.assert_array_equal(influence.standard_errors, expected.standard_errors)
        assert not any("not finished" in note for note in influence.notes)


def test_a_budget_that_ends_early_spares_no_more_than_it_takes(tmp_path: Path) -> None:
    carried_out(a_job(tmp_path, campaigns=bernoulli(60)))
    until = {"until": {"value": "banzhaf", "below": 1e9, "every": 20, "at_most": 60}}
    result, said = carried_out(a_job(tmp_path, campaigns=bernoulli(until)))
    assert result.campaigns[0].plan.draws == 20
    assert "22 of 22 retrains (100%)" in said


def chunks_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.parquet") if parse_name(path.name) is not None)


def test_values_of_a_campaign_that_is_not_finished_say_so(tmp_path: Path) -> None:
    job = a_job(tmp_path, learner={"kind": "logistic_regression", "c": 0.1, "together": 8})
    whole, _ = carried_out(job)
    *_, last = chunks_of(tmp_path)
    last.unlink()
    result = open_result(job)
    draws = result.campaigns[0].plan.draws
    assert 0 < draws < 40
    found = result.values("banzhaf")
    assert f"not finished: {draws} of 40 draws of bernoulli are stored so far" in found.notes
    np.testing.assert_array_equal(found.values, whole.campaigns[0].values("banzhaf", draws=draws).values)


def test_a_campaign_without_its_first_rows_has_no_values_yet(tmp_path: Path) -> None:
    job = a_job(tmp_path, learner={"kind": "logistic_regression", "c": 0.1, "together": 8})
    carried_out(job)
    chunks_of(tmp_path)[0].unlink()
    with pytest.raises(JobError, match=r"no values yet.*\n.*apportion resume"):
        open_result(job)


def test_a_folder_that_takes_no_journal_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way", encoding="utf-8")
    with pytest.raises(ResourceMissing, match="metrics cannot be noted") as refused:
        Journal.open(tmp_path / "run", lambda run_id, points: None)
    assert str(tmp_path / "run") in str(refused.value)


def test_rows_of_two_numeric_classes_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = carried_out(a_job(tmp_path))
    assert not any("numeric class" in note for note in result.values("banzhaf").notes)
    facts = result.campaigns[0].store.facts()
    both = replace(facts, numeric_classes=(*facts.numeric_classes, "another"))
    monkeypatch.setattr(type(result.campaigns[0].store), "facts", lambda store: both)
    (note,) = [note for note in result.values("banzhaf").notes if "2 numeric classes" in note]
    assert facts.numeric_classes[0] in note
    assert "another" in note


@pytest.mark.parametrize("rows", [16, 24])
def test_rows_and_values_are_the_same_bits_whatever_the_chunks(
    tmp_path: Path, template_database: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    learner = {"kind": "logistic_regression", "c": 0.1, "together": 8, "train_losses": True}
    whole, _ = carried_out(a_job(tmp_path, learner=learner))
    other = tmp_path / "other"
    other.mkdir()
    (other / "apportion.db").write_bytes(template_database.read_bytes())
    monkeypatch.setattr(session, "chunk_rows", lambda **facts: rows)
    cut, _ = carried_out(a_job(other, learner=learner))
    assert whole.campaigns[0].plan.facts.chunk_rows == 8
    assert len(chunks_of(other)) == -(-42 // rows)
    for value in ("banzhaf", "memorization", "held_out_loss"):
        a, b = whole.values(value), cut.values(value)
        assert a.values.tobytes() == b.values.tobytes()
        assert a.standard_errors.tobytes() == b.standard_errors.tobytes()
    a, b = (next(each.campaigns[0].retrains("cross_entropy", 0, 40)) for each in (whole, cut))
    assert a.losses.tobytes() == b.losses.tobytes()


def test_every_campaign_keeps_what_replays_it(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    carried_out(job)
    kept = [path for path in tmp_path.rglob("job.yaml") if path.parent.name == "artifacts"]
    assert len(kept) == 2, "the job's run and its one campaign's"
    assert len({path.read_bytes() for path in kept}) == 1
    (run,) = open_tracker(job).campaign_runs()
    assert run.tags["git_commit"]
    assert {"version.python", "version.numpy"} <= set(run.tags)
