"""`apportion plan` and the command line around it, as a person meets them."""

import numpy as np
import pytest
from good_job import JOB, write_good_job

from estimators.planning import Predicted
from orchestrator import Job, arrays_data, load_job, run
from orchestrator.cli import run_command
from orchestrator.commands.plan import error_lines
from orchestrator.expected_errors import ExpectedError
from orchestrator.pilot import forecast
from orchestrator.preparation import prepare, smoke
from orchestrator.results import open_tracker
from orchestrator.status import job_status
from orchestrator.wording import last_line

NEIGHBOURS = "{kind: scikit_learn, estimator: sklearn.neighbors.KNeighborsClassifier, arguments: {n_neighbors: %d}}"


def plan(folder, monkeypatch, *, neighbours, fraction=0.7):
    """The exit code of a plan with nearest neighbours, which need subsets of as many members."""
    write_good_job(folder)
    learner = next(line for line in JOB.splitlines() if line.startswith("learner:"))
    job = JOB.replace(learner, f"learner: {NEIGHBOURS % neighbours}").replace("banzhaf]", "memorization]")
    (folder / "job.yaml").write_text(job.replace("fraction: 0.7", f"fraction: {fraction}"))
    monkeypatch.chdir(folder)
    return run_command(["plan", "job.yaml"])


def test_retrains_that_fail_in_the_pilot_are_counted_with_the_reason(tmp_path, monkeypatch, capsys):
    assert plan(tmp_path, monkeypatch, neighbours=19) == 0

    said = capsys.readouterr().out
    assert "pilot retrains failed, the first: ValueError: Expected n_neighbors" in said
    assert "20 drawn, 2 on all and on none of the instances" in said


def test_a_pilot_whose_retrains_all_fail_ends_the_plan(tmp_path, monkeypatch, capsys):
    assert plan(tmp_path, monkeypatch, neighbours=19, fraction=0.25) == 2

    said = capsys.readouterr().err
    assert "uniform: all 20 retrains of the pilot fail, the first: ValueError" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [["rn"], ["--debug", "rn"], ["rn", "--debug"]])
def test_a_command_misspelt_gets_the_nearest(arguments, capsys):
    assert run_command(arguments) == 2
    assert "did you mean `run`?" in capsys.readouterr().err


def test_debug_may_stand_after_the_command(tmp_path, capsys):
    assert run_command(["plan", str(tmp_path / "none.yaml"), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_failure_is_told_by_its_kind_and_the_last_line_of_its_traceback():
    reason = 'exception: Traceback (most recent call last):\n  File "a.py", line 3\nValueError: too few\n'

    assert last_line(reason) == "exception: ValueError: too few"
    assert last_line("timeout: longer than 5 s") == "timeout: longer than 5 s"
    assert last_line("lost") == "lost"


def test_status_of_a_whole_enumeration_counts_no_subset_twice(tmp_path, tracking_database):
    data = arrays_data(np.eye(4), np.arange(4.0), np.ones((2, 4)), np.ones(2))
    job = Job(
        name="all",
        data=data,
        learner={"kind": "ridge"},
        campaigns=[{"design": "exhaustive"}],
        cluster={"address": "in_process"},
        store={"tracking_uri": f"sqlite:///{tracking_database}"},
        folder=tmp_path,
    )
    run(job)

    (campaign,) = job_status(open_tracker(job)).campaigns
    assert (campaign.stored, campaign.planned) == (16, 16)


def test_kept_models_count_among_the_bytes_of_a_plan(tmp_path):
    found = {}
    for keep in ("false", "true"):
        folder = tmp_path / keep
        folder.mkdir()
        write_good_job(folder)
        text = JOB.replace("kind: logistic_regression,", f"kind: logistic_regression, keep: {keep},")
        (folder / "job.yaml").write_text(text)
        prepared = prepare(load_job(folder / "job.yaml"), lambda _: None)
        report = smoke(prepared)
        found[keep] = report, forecast(prepared, report, 1, lambda _: None)[0], prepared
    (none, lean, _), (report, kept, prepared) = found["false"], found["true"]
    learner = prepared.learner()
    models = learner.trained(np.ones((3, learner.n), dtype=bool), np.zeros(3, dtype=np.uint64))
    assert none.model_bytes == 0
    assert 3 * report.model_bytes == sum(array.nbytes for array in models.values())
    assert kept.stored_bytes == pytest.approx(lean.stored_bytes + kept.retrains * report.model_bytes, abs=kept.retrains)


def test_the_table_marks_figures_in_doubt_and_says_what_settles_them():
    sure, unsure = Predicted(0.0123456, 0.1, 32), Predicted(0.5, 0.25, 32)
    lines = error_lines(
        [
            ExpectedError("banzhaf", "clip(cross_entropy, 0.5) over class", sure, unsure),
            ExpectedError("downsampling", "zero_one", sure, sure, unvaried=0.9),
            ExpectedError("ame", "zero_one", *2 * [Predicted(float("nan"), float("nan"), 32)]),
        ],
        draws=1000,
    )
    assert lines == [
        "value        loss                                  pair (i, test)     instance",
        "banzhaf      clip(cross_entropy, 0.5) over class           0.0123         ~0.5",
        (
            "downsampling zero_one                                      0.0123       0.0123"
            "  at least: 90% of the losses never varied in the pilot"
        ),
        "ame          zero_one                                   not known    not known",
        "~ roughly: the pilot is too short, or its losses too wild, to tell it to a quarter",
        "  about 128 retrains of a pilot would (`apportion plan --keep` takes what it needs)",
    ]
    assert len(error_lines([ExpectedError("banzhaf", "cross_entropy", sure, sure)], draws=100)) == 2
    short = error_lines([ExpectedError("banzhaf", "cross_entropy", sure, unsure)], draws=128)
    assert short[-1] == "  no pilot shorter than the campaign would"
