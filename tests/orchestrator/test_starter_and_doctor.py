"""`apportion init` writes a job that is right as it stands; `apportion doctor` looks and never fails itself."""

import pytest

from orchestrator.checks.whole_job import load_checked
from orchestrator.doctor import examine
from orchestrator.errors import JobError
from orchestrator.jobs.job_file import load_job
from orchestrator.starter import write_starter


def test_the_starter_job_passes_every_check(tmp_path):
    paths = write_starter(tmp_path / "new")

    loaded, _ = load_checked(load_job(paths[0]))

    assert [path.name for path in paths] == ["job.yaml", "data.py", "model.py"]
    assert (loaded.dataset.n, loaded.dataset.n_test) == (500, 200)
    assert loaded.image_shape == (8, 8)


@pytest.mark.parametrize("name", ["job.yaml", "model.py"])
def test_the_starter_overwrites_nothing_and_then_writes_nothing(name, tmp_path):
    (tmp_path / name).write_text("mine")

    with pytest.raises(JobError, match=name):
        write_starter(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_an_error_with_a_mend(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(JobError, match="choose a folder"):
        write_starter(tmp_path / "file" / "new")


def test_doctor_finds_this_machine_fit_and_changes_nothing(tmp_path):
    findings = examine(tmp_path)

    assert {finding.status for finding in findings} <= {"ok", "warn"}
    assert {"python", "packages", "memory", "disk", "writing", "loopback", "GPU"} <= {f.name for f in findings}
    assert all(finding.mend for finding in findings if finding.status != "ok")
    assert list(tmp_path.iterdir()) == []


def test_doctor_warns_of_a_token_that_others_may_read(tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))

    found = [finding for finding in examine(tmp_path) if finding.name == "Ray's token"]

    assert [(finding.status, finding.mend) for finding in found] == [("warn", f"chmod 600 {token}")]


def test_doctor_says_what_fails_where_the_folder_is_not_there(tmp_path):
    found = {finding.name: finding for finding in examine(tmp_path / "gone")}

    assert found["writing"].status == "fail"
    assert "choose a folder" in found["writing"].mend
