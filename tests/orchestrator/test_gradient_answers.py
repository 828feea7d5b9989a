"""Gradient values answer to every command that the values of retrains answer to, whatever an entry gives."""

import json

import numpy as np
import pandas as pd
import pytest
from good_job import JOB, write_good_job

import estimators.gradient.source
from orchestrator import load_job, open_result, run
from orchestrator.cli import run_command
from orchestrator.evaluation.evaluate import evaluate
from orchestrator.results import open_tracker

ENTRIES = """\
gradients:
  - {method: influence_function, name: exact, curvature: exact, matrix: hessian, damping: 0.01, dtype: float64}
  - {method: influence_function, name: mean, curvature: exact, matrix: hessian, damping: 0.01, dtype: float64,
     gives: mean}
  - {method: influence_function, name: own, curvature: exact, matrix: hessian, damping: 0.01, dtype: float64,
     gives: self}
  - {method: influence_function, name: tops, curvature: exact, matrix: hessian, damping: 0.01, dtype: float64,
     gives: strongest, strongest: 3}
  - {method: influence_function, name: sums, curvature: exact, matrix: hessian, damping: 0.01, dtype: float64,
     gives: groups, groups: class}
  - {method: influence_function, name: unsolved, curvature: conjugate_gradient, iterations: 1, tolerance: 1.0e-9}
  - {method: tracin_rp, dimensions: 64}
  - {method: pbrf, damping: 0.01, instances: 12, tolerance: 1.0e-6, dtype: float64}
"""
REPORT = "report: {known_label_errors: flipped}\n"


@pytest.fixture(scope="module")
def job(template_database, tmp_path_factory):
    import shutil

    folder = tmp_path_factory.mktemp("answers")
    path = write_good_job(folder)
    shutil.copy(template_database, folder / "apportion.db")
    data = dict(np.load(folder / "train.npz"))
    np.savez(folder / "train.npz", **data, flipped=np.arange(40) % 10 == 0)
    text = JOB.replace("values: [downsampling, banzhaf]\n", "values: [banzhaf]\n").replace(
        "retrains: 30", "retrains: 60"
    )
    path.write_text(text + REPORT + ENTRIES)
    rows = estimators.gradient.source.MOST_ROWS
    estimators.gradient.source.MOST_ROWS = 16  # three blocks of 40 rows
    try:
        run(load_job(path))
    finally:
        estimators.gradient.source.MOST_ROWS = rows
    return load_job(path)


def asked(capsys, *words):
    assert run_command([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_what_is_given_without_the_matrix_is_what_the_matrix_says(job):
    result = open_result(job)
    matrix = result.values("exact").values
    np.testing.assert_allclose(result.values("mean").values, matrix.mean(axis=1), rtol=1e-9, atol=1e-14)
    whole = result.gradient("exact")
    np.testing.assert_allclose(result.values("own").values, whole.self_influence.values, rtol=1e-12)
    tops = result.gradient("tops")
    order = np.argsort(-matrix, axis=0, kind="stable")
    np.testing.assert_array_equal(tops.proponents.indices, order[:3])
    np.testing.assert_array_equal(tops.opponents.indices, np.argsort(matrix, axis=0, kind="stable")[:3])
    np.testing.assert_allclose(tops.opponents.values, np.sort(matrix, axis=0)[:3], rtol=1e-12)
    labels = result.loaded.dataset.train_labels
    sums = np.stack([matrix[labels == group].sum(axis=0) for group in (0, 1)])
    np.testing.assert_allclose(result.gradient("sums").groups, sums, rtol=1e-9, atol=1e-14)
    assert result.gradient("sums").group_names == result.loaded.dataset.classes


def test_responses_agree_with_the_influence_they_are_the_truth_of(job):
    result = open_result(job)
    found, exact = result.values("pbrf").values, result.values("exact").values
    known = np.isfinite(found).all(axis=1)
    assert known.sum() == 12
    assert np.isnan(found[~known]).all()
    assert np.corrcoef(found[known].ravel(), exact[known].ravel())[0, 1] > 0.98
    assert result.gradient("pbrf").facts["residual"] <= 1e-6


def test_facts_of_solvers_are_notes_warnings_and_metrics(job):
    result = open_result(job)
    unsolved = result.gradient("unsolved")
    assert unsolved.facts["residual"] > unsolved.facts["tolerance"] == 1e-9
    assert any("above its tolerance" in warning for warning in unsolved.warnings)
    assert result.gradient("exact").warnings == ()
    assert 0 < result.gradient("exact").facts["stationarity"] < 1e-4  # the learner solved its objective
    assert any("divisor stays n" in note for note in result.gradient("exact").notes)
    tracker = open_tracker(job)
    metrics = tracker.latest_metrics(tracker.find_job_run().run_id)
    assert metrics["gradient unsolved residual"] == pytest.approx(unsolved.facts["residual"])
    assert metrics["gradient exact stationarity"] == pytest.approx(result.gradient("exact").facts["stationarity"])


def test_projections_have_errors_of_their_own(job):
    found = open_result(job).values("tracin_rp")
    assert np.isfinite(found.standard_errors).all()
    assert (found.standard_errors > 0).any()
    assert any("over random projections" in note for note in found.notes)


def test_commands_answer_for_gradients(job, capsys, tmp_path):
    path = job.origin.path
    for label in ("exact", "mean", "own", "tops", "sums"):
        assert label in asked(capsys, "values", path, "--value", label)
    for label, ending in (
        ("exact", "npz"),
        ("exact", "csv"),
        ("mean", "parquet"),
        ("tops", "csv"),
        ("sums", "parquet"),
    ):
        asked(capsys, "values", path, "--value", label, "-o", tmp_path / f"{label}.{ending}")
    values = open_result(job).values("exact").values
    np.testing.assert_array_equal(np.load(tmp_path / "exact.npz")["values"], values)
    top = pd.read_csv(tmp_path / "tops.csv")
    assert (top[top["side"] == "proponent"]["influence"] > 0).all()
    said = asked(capsys, "explain", path, "--test", "3", "--value", "exact")
    best = int(np.argmax(values[:, 3]))
    assert f"#{best}" in said.split("opponents")[0]
    assert "retrains" not in said
    assert "scale loss" in said
    said = asked(capsys, "methods", "--job", path)
    assert "yes, by gradients: strongest" in said
    assert "#3" in asked(capsys, "explain", path, "--train", str(best), "--value", "exact")


def test_a_mistyped_entry_is_refused_with_the_nearest(job, capsys):
    assert run_command(["values", str(job.origin.path), "--value", "exakt"]) == 2
    assert "no value is called 'exakt'; did you mean exact?" in capsys.readouterr().err


def test_questions_in_sql(job, capsys):
    path = job.origin.path
    query = (
        "select train_index, influence from influence where value = 'exact' and test_index = 3 order by 2 desc limit 1"
    )
    found = json.loads(asked(capsys, "query", path, query, "--format", "json"))
    values = open_result(job).values("exact").values
    assert found == [{"train_index": int(np.argmax(values[:, 3])), "influence": pytest.approx(values[:, 3].max())}]
    counts = json.loads(
        asked(capsys, "query", path, "select value, count(*) as n from influence group by value", "--format", "json")
    )
    found = {row["value"]: row["n"] for row in counts}
    expected = {"banzhaf": 40 * 11 * 2, "exact": 440, "mean": 40, "tops": 60, "exact self-influence": 40}
    assert {name: found[name] for name in expected} == expected
    facts = json.loads(
        asked(capsys, "query", path, "select value, whole, residual, warnings from gradients", "--format", "json")
    )
    by_name = {row["value"]: row for row in facts}
    assert by_name["unsolved"]["warnings"]
    assert by_name["exact"]["whole"]


def test_the_report_has_a_section_of_its_own(job):
    page = (job.folder / "good-report.html").read_text()
    section = page.split('<section id="gradients">')[1].split("</section>")[0]
    assert "Warning, <bdi>unsolved</bdi>" in section
    assert "a difference of losses" in section
    assert "a ranking only" in section
    assert "<svg" in section
    assert "Proponents" in section
    assert "Koh and Liang, ICML 2017" in section
    for label in ("exact", "mean", "own", "tops", "sums", "unsolved", "TracInRP", "PBRF"):
        assert f"<bdi>{label}</bdi>" in section
    assert "± unknown" not in page
    assert "exact self-influence" in page.split('<section id="labels">')[1].split("</section>")[0]
    tracker = open_tracker(job)
    names = [path.name for path in job.folder.rglob("pictures/*.svg")]
    assert any("exact-beside-banzhaf" in name for name in names)
    assert tracker.get(tracker.find_job_run().run_id, "top/exact.csv").startswith(b"rank,")


def test_label_errors_are_judged_by_self_influence_too(job):
    found = {each.name: each for each in evaluate(open_result(job)).estimators}
    own = found["exact self-influence"]
    assert own.datamodeling.value is None
    assert own.label_errors.value is not None
    assert found["exact"].label_errors.value != own.label_errors.value
    assert "pbrf" in found["exact"].references
    assert found["exact"].references["pbrf"].value > 0.9


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{method: trak, campaign: uniform}", ["keeps no models", "keep: true"]),
        ("{method: trak, campaign: unifrom}", ["no campaign `unifrom`", "uniform"]),
        ("{method: influence_function, name: banzhaf}", ["is the name of a value"]),
        ("{method: influence_function, campaign: uniform}", ["leave `campaign` out"]),
        ("{method: influence_function, gives: groups}", ["groups: COLUMN"]),
        ("{method: influence_function, gives: groups, groups: colour}", ["no groups by 'colour'"]),
        ("{method: trak, gives: mean}", ["gives its matrix only"]),
        ("{method: influence_function, instances: 5}", ["leave `instances` out"]),
    ],
)
def test_entries_that_do_not_fit_are_refused_before_anything_is_trained(tmp_path, capsys, entry, words):
    path = write_good_job(tmp_path)
    path.write_text(JOB + f"gradients:\n  - {entry}\n")
    assert run_command(["plan", str(path)]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            "{method: tracin_we}",
            ["job.yaml:13: gradients[0]: tracin_we needs embeddings", "take the method of the whole"],
        ),
        ("{method: cooks_distance}", ["job.yaml:13: gradients[0]: cooks_distance is a closed form", "take influence"]),
        ("{method: trak, dimensions: 41}", ["job.yaml:13: gradients[0]: trak in 41", "the 40 training", "at most 40"]),
        ("{method: trak, dimensions: 9, damping: 0.0}", ["more than the 4 parameters", "`damping` above 0"]),
        ("{method: influence_function, layers: [fc9.*]}", ["no trained parameter matches", "linear.weight"]),
    ],
)
def test_a_method_that_does_not_fit_the_model_is_refused_before_anything_is_trained(
    tmp_path, tracking_database, capsys, entry, words
):
    path = write_good_job(tmp_path)
    path.write_text(JOB + f"gradients:\n  - {entry}\n")
    assert run_command(["run", str(path)]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert {found.name for found in tmp_path.rglob("*.parquet")} == {"train.parquet", "test.parquet"}
