import os
import subprocess

from orchestrator.tracking.provenance import git_commit, versions


def git(folder, *words):
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *who, *words], cwd=folder, env=quiet, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_named_and_uncommitted_changes_are_said(tmp_path):
    assert git_commit(tmp_path) == ""
    git(tmp_path, "init", "-q")
    assert git_commit(tmp_path) == ""
    (tmp_path / "job.yaml").write_text("name: a\n")
    git(tmp_path, "add", "job.yaml")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("x")
    assert git_commit(tmp_path) == commit
    (tmp_path / "job.yaml").write_text("name: b\n")
    assert git_commit(tmp_path) == f"{commit}+changes"
    assert git_commit(tmp_path / "nowhere") == ""


def test_versions_name_python_and_the_libraries_that_compute():
    found = versions()
    assert {"python", "platform", "apportion", "numpy", "torch", "mlflow"} <= set(found)
