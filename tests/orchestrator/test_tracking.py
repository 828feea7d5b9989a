import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.errors import ResourceMissing, StoreRefused
from orchestrator.jobs.job import StoreSpec
from orchestrator.tracking.client import prepare_environment
from orchestrator.tracking.inputs import DataInput
from orchestrator.tracking.notes import note
from orchestrator.tracking.run_texts import learner_parameters
from orchestrator.tracking.tracker import Tracker
from workers.chunk_types import Fingerprints
from workers.learner_specs import OptimizerSpec, RidgeSpec, TorchSpec


def reopened(folder, *, experiment="job", create=True, **store):
    return Tracker.open(StoreSpec(**store), folder, experiment, create=create, say=lambda text: None)


@pytest.fixture
def campaign(tracker, fingerprints):
    parent = tracker.job_run(fingerprints=fingerprints)
    return tracker.campaign_run("c-1", name="uniform", parent=parent, parameters={"design": "uniform", "n": 3500})


def test_a_job_opened_again_finds_its_runs_and_marks_them_running(tracker, campaign, fingerprints, tmp_path):
    tracker.finish(campaign.run_id, "KILLED")
    again = reopened(tmp_path)
    assert [run.status for run in again.campaign_runs()] == ["KILLED"]
    parent = again.job_run(fingerprints=fingerprints)
    found = again.campaign_run("c-1", name="uniform", parent=parent, parameters={"design": "uniform", "n": 3500})
    assert found.run_id == campaign.run_id
    assert found.status == "RUNNING"
    assert len(again.campaign_runs()) == 1
    assert found.tags["mlflow.parentRunId"] == parent.run_id == again.find_job_run().run_id


def test_two_campaigns_have_two_runs_below_one_parent(tracker, campaign, fingerprints):
    parent = tracker.job_run(fingerprints=fingerprints)
    other = tracker.campaign_run("c-2", name="bernoulli", parent=parent, parameters={})
    assert [run.campaign_id for run in tracker.campaign_runs()] == ["c-1", "c-2"]
    assert other.chunks_address != campaign.chunks_address


def test_fingerprints_come_back_as_they_went_in_and_others_are_refused_by_part(tracker, fingerprints, tmp_path):
    tracker.job_run(fingerprints=fingerprints)
    again = reopened(tmp_path)
    assert again.find_job_run().fingerprints == fingerprints
    with pytest.raises(StoreRefused, match="another train, learner"):
        again.job_run(fingerprints=Fingerprints(train="x", test="bb", learner="y", code="dd"))


def test_a_raised_budget_stands_in_a_tag_since_parameters_stay(tracker, campaign, fingerprints):
    parent = tracker.job_run(fingerprints=fingerprints)
    found = tracker.campaign_run("c-1", name="u", parent=parent, parameters={"n": 3500, "retrains": 10})
    found = tracker.campaign_run("c-1", name="u", parent=parent, parameters={"n": 3500, "retrains": 20})
    assert found.parameters["retrains"] == "10"
    assert found.tags["apportion.now.retrains"] == "20"
    assert "apportion.now.n" not in found.tags


def test_hostile_and_long_parameters_are_kept_whole_and_never_cut(tracker, fingerprints):
    parent = tracker.job_run(fingerprints=fingerprints)
    hostile = {
        "../../etc/passwd": "'; DROP TABLE runs; --",
        "a?b": "<script>",
        "a*b": "second name that cleans to the same",
        "emoji ☃": "snow ☃ \ud800 \x00 line\nbreak",
        "": "empty key",
        "long": "x" * 6001,
        "just fits": "y" * 6000,
    }
    run = tracker.campaign_run("c-1", name="x'; --", parent=parent, parameters=hostile)
    there = tracker.campaign_runs()[0].parameters
    assert there == run.parameters
    assert len(there) == len(hostile)
    assert there["etc/passwd"] == "'; DROP TABLE runs; --"
    assert there["a_b"] == "<script>"
    assert there["a_b:2"] == "second name that cleans to the same"
    assert there["just fits"] == "y" * 6000
    assert "6001 characters" in there["long"]
    assert b"x" * 6001 in tracker.get(run.run_id, "long_parameters.json")


def test_long_tags_and_descriptions_are_kept_whole_as_files(tracker, campaign):
    tracker.set_tags(campaign.run_id, {"long": "z" * 8001})
    tracker.describe(campaign.run_id, "line\n" * 3000)
    tags = tracker.campaign_runs()[0].tags
    assert "8001 characters" in tags["long"]
    assert b"z" * 8001 in tracker.get(campaign.run_id, "long_tags.json")
    assert "cut here" in tags["mlflow.note.content"]
    assert len(tags["mlflow.note.content"]) <= 8000
    assert tracker.get(campaign.run_id, "description.md") == b"line\n" * 3000


def test_data_sets_are_inputs_of_the_run_once(tracker, campaign, fingerprints):
    parent = tracker.job_run(fingerprints=fingerprints)
    described = [
        DataInput("train.npz", "training", "ab" * 32, "http://ann:s3cret@host/train.npz", 10, (10, 4), "float32"),
        DataInput("test.csv", "test", "cd", "/d/test.csv", 5, (5, 1), "float64", columns=(("age", "double"),)),
    ]
    for _ in range(2):
        tracker.campaign_run("c-1", name="u", parent=parent, parameters={}, inputs=described)
    logged = tracker._client.get_run(campaign.run_id).inputs.dataset_inputs
    by_context = {each.tags[0].value: each.dataset for each in logged}
    assert len(logged) == 2
    assert by_context["training"].digest == "ab" * 18
    assert "s3cret" not in by_context["training"].source
    assert '"num_rows": 5' in by_context["test"].profile
    assert '"name": "age"' in by_context["test"].schema


def test_files_of_a_run_are_where_mlflow_shows_them_and_can_be_replaced(tracker, campaign):
    tracker.put(campaign.run_id, "report.html", "old")
    shown = tracker.put(campaign.run_id, "report.html", "<b>new</b>")
    tracker.put(campaign.run_id, "figures/a.png", b"\x89PNG")
    assert Path(shown).read_text() == "<b>new</b>"
    assert tracker.get(campaign.run_id, "report.html") == b"<b>new</b>"
    assert tracker.get(campaign.run_id, "figures/a.png") == b"\x89PNG"
    assert tracker.get(campaign.run_id, "figures/none.png") is None
    listed = {found.path for found in tracker._client.list_artifacts(campaign.run_id)}
    assert listed == {"report.html", "figures"}
    for outside in ("../x", "/etc/x", "a/../../x", ""):
        with pytest.raises(ValueError, match="no path inside"):
            tracker.put(campaign.run_id, outside, "x")


@pytest.mark.parametrize("name", ["a b", "a#b", "50%", "ä☃", "it's", "[x]*"])
def test_a_folder_of_any_name_holds_a_store_that_mlflow_can_show(template_database, tmp_path, name, fingerprints):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(template_database, folder / "apportion.db")
    tracker = reopened(folder)
    run = tracker.job_run(fingerprints=fingerprints)
    assert tracker.put(run.run_id, "a.txt", "x").startswith(str(folder))
    assert [found.path for found in tracker._client.list_artifacts(run.run_id)] == ["a.txt"]


def test_a_moved_folder_keeps_its_store_and_writes_nothing_to_the_old_place(tracker, campaign, tmp_path):
    tracker.put(campaign.run_id, "chunks/1.parquet", b"1")
    old, moved = tmp_path / "old", tmp_path / "moved"
    old.mkdir()
    for name in ("apportion.db", "apportion-artifacts"):
        shutil.move(tmp_path / name, old / name)
    old.rename(moved)
    again = reopened(moved)
    found = again.campaign_runs()[0]
    assert found.chunks_address == str(moved / "apportion-artifacts/job" / campaign.run_id / "artifacts/chunks")
    assert again.get(found.run_id, "chunks/1.parquet") == b"1"
    again.put(found.run_id, "more.txt", "x")
    assert not (tmp_path / "apportion-artifacts").exists()


def test_a_copied_folder_is_a_store_of_its_own(tracker, campaign, tmp_path):
    tracker.put(campaign.run_id, "a.txt", "original")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "apportion.db", copy)
    shutil.copytree(tmp_path / "apportion-artifacts", copy / "apportion-artifacts")
    reopened(copy).put(campaign.run_id, "a.txt", "copy")
    assert tracker.get(campaign.run_id, "a.txt") == b"original"


def test_a_store_whose_files_are_gone_is_said_to_be(tracker, campaign, tmp_path):
    shutil.rmtree(tmp_path / "apportion-artifacts")
    with pytest.raises(ResourceMissing, match="files of this store are gone"):
        reopened(tmp_path)


def test_a_named_artifact_folder_is_used(template_database, tmp_path, fingerprints):
    shutil.copy(template_database, tmp_path / "apportion.db")
    tracker = reopened(tmp_path, artifacts="big disk")
    run = tracker.job_run(fingerprints=fingerprints)
    assert tracker.put(run.run_id, "a.txt", "x").startswith(str(tmp_path / "big disk" / "job"))


def test_a_deleted_experiment_is_refused_with_the_command_that_restores_it(tracker, tmp_path):
    tracker._client.delete_experiment(tracker.experiment_id)
    with pytest.raises(StoreRefused, match=f"restore --experiment-id {tracker.experiment_id}"):
        reopened(tmp_path)


def test_readers_make_nothing(tmp_path, tracking_database):
    assert reopened(tmp_path / "elsewhere", create=False) is None
    assert not (tmp_path / "elsewhere").exists()
    assert reopened(tmp_path, create=False) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apportion.db"]


def test_another_programs_file_is_refused_and_left_alone(tmp_path):
    connection = sqlite3.connect(tmp_path / "apportion.db")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = (tmp_path / "apportion.db").read_bytes()
    with pytest.raises(StoreRefused, match="another program"):
        reopened(tmp_path)
    assert (tmp_path / "apportion.db").read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "apportion.db").write_bytes(b"label,x\n1,2\n" * 1000)
    with pytest.raises(StoreRefused, match="no SQLite file"):
        reopened(tmp_path)


def test_a_folder_where_the_database_should_be_is_said_to_be(tmp_path):
    (tmp_path / "apportion.db").mkdir()
    with pytest.raises(ResourceMissing, match=r"apportion\.db"):
        reopened(tmp_path)


@pytest.mark.parametrize(("version", "word"), [("451aebb31d03", "older MLflow"), ("0123456789ab", "newer MLflow")])
def test_tables_of_another_mlflow_version_are_refused_and_never_changed(tracking_database, tmp_path, version, word):
    connection = sqlite3.connect(tracking_database)
    connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.execute("DROP TABLE inputs")
    connection.commit()
    connection.close()
    before = tracking_database.read_bytes()
    with pytest.raises(ResourceMissing, match=word):
        reopened(tmp_path)
    assert tracking_database.read_bytes() == before


def test_a_database_locked_for_a_while_is_waited_for(tracking_database, tmp_path):
    holder = sqlite3.connect(tracking_database, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    threading.Timer(1.5, lambda: holder.execute("ROLLBACK")).start()
    said, start = [], time.monotonic()
    assert Tracker.open(StoreSpec(), tmp_path, "job", say=said.append) is not None
    assert 1 < time.monotonic() - start < 20
    assert "another process holds it locked" in said[0]
    holder.close()


@pytest.mark.slow
def test_a_kill_while_the_database_is_made_leaves_no_half_of_it(tmp_path):
    script = """
import os, sys
from pathlib import Path
from orchestrator.tracking import client as tracking_client
from orchestrator.jobs.job import StoreSpec
from orchestrator.tracking.tracker import Tracker
if sys.argv[2] == "die":
    def die(uri, *, shown):
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"half")
        os._exit(137)
    tracking_client.open_client = die
print(Tracker.open(StoreSpec(), Path(sys.argv[1]), "job", say=lambda text: None).job)
"""
    died = subprocess.run([sys.executable, "-c", script, tmp_path, "die"], timeout=60, capture_output=True, check=False)
    assert died.returncode == 137
    assert not (tmp_path / "apportion.db").exists()
    leftover = next(tmp_path.iterdir())
    os.utime(leftover, (0, 0))
    command = [sys.executable, "-c", script, tmp_path, "live"]
    lived = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    assert (lived.returncode, lived.stdout, lived.stderr) == (0, "job\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apportion-artifacts", "apportion.db"]
    assert (tmp_path / "apportion.db").stat().st_mode & 0o077 == 0


def test_a_store_works_without_a_word_of_mlflows(tracker, campaign, capfd):
    tracker.finish(campaign.run_id, "FINISHED")
    with pytest.raises(ResourceMissing):
        tracker.finish("0" * 32, "FINISHED")
    assert capfd.readouterr() == ("", "")


def test_importing_the_module_imports_no_mlflow():
    code = "import sys, orchestrator.tracking.tracker; print('mlflow' in sys.modules, 'ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_what_the_user_chose_in_the_environment_stays(monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    prepare_environment()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")


def test_a_learners_options_have_short_names_and_only_those_that_are_read():
    spec = TorchSpec(
        model="model.py:Net", epochs=5, optimizer=OptimizerSpec(name="sgd", lr=0.1), arguments={"width": 64}
    )
    found = learner_parameters(spec)
    assert found["learner"] == "torch"
    assert found["epochs"] == 5
    assert found["optimizer"] == "sgd"
    assert found["optimizer.lr"] == 0.1
    assert found["arguments.width"] == 64
    assert "optimizer.betas" not in found
    assert "schedule.gamma" not in found
    assert learner_parameters(RidgeSpec(alpha=2.0))["alpha"] == 2.0


def test_a_description_shows_hostile_names_as_they_are():
    text = note(
        "<b>*job*</b>", what="x", facts={"a|b": "1\n2"}, commands={"see it": ["apportion", "status", "a b`.yaml"]}
    )
    assert "<b>" not in text
    assert "| a\\|b | 1 2 |" in text
    assert "apportion status 'a b`.yaml'" in text
