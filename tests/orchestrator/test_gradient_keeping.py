"""`verify` and `gc` know the files of gradient values: blocks, lists of them, recorded runs and whole models."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from good_job import JOB, write_good_job

from orchestrator import load_job, open_result, run
from orchestrator.cli import run_command
from orchestrator.gradients.identity import gradient_store
from orchestrator.results import stored_job

ENTRIES = """\
gradients:
  - {method: influence_function, name: exact, curvature: exact}
  - {method: tracin_cp}
"""


@pytest.fixture(scope="module")
def finished(template_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    path = write_good_job(folder)
    shutil.copy(template_database, folder / "apportion.db")
    path.write_text(JOB.replace("values: [downsampling, banzhaf]\n", "") + ENTRIES)
    run(load_job(path))
    return folder


@pytest.fixture
def job(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "store")
    return tmp_path / "store" / "job.yaml"


def files(job: Path) -> dict[str, Path]:
    """Those of gradient values by name."""
    stored = stored_job(load_job(job))
    store = gradient_store(stored.tracker, stored.parent)
    return {name: Path(store.address) / name for name in store.names()}


def one(job: Path, word: str) -> Path:
    return next(path for name, path in files(job).items() if name.startswith(word))


def said(capsys, *words):
    code = run_command([str(word) for word in words])
    return code, capsys.readouterr().out


def test_whole_values_are_found_whole_and_nothing_is_left_over(job, capsys):
    assert {name.partition("-")[0] for name in files(job)} == {
        "gradient",
        "self",
        "stationarity",
        "trajectory",
        "whole",
        "blocks",
    }
    assert said(capsys, "verify", job)[0] == 0
    code, words = said(capsys, "gc", job)
    assert code == 0
    assert "0 things" in words


@pytest.mark.parametrize("word", ["gradient", "self", "stationarity", "trajectory", "whole", "blocks"])
def test_damage_is_named_set_aside_and_mended_by_resume(job, capsys, word):
    before = {label: open_result(load_job(job)).values(label).values for label in ("exact", "tracin_cp")}
    names, victim = set(files(job)), one(job, word)
    content = victim.read_bytes()
    victim.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    code, words = said(capsys, "verify", job)
    assert code == 5
    assert f"gradients: {victim.name}: damaged" in words
    assert said(capsys, "verify", job, "--repair")[0] == 0
    assert not victim.exists()
    assert said(capsys, "verify", job)[0] == 0
    assert run_command(["run", str(job)]) == 0
    capsys.readouterr()
    if word not in {"trajectory", "whole"}:  # values that are whole need neither, until something is computed again
        assert set(files(job)) == names
    for label, values in before.items():
        np.testing.assert_array_equal(open_result(load_job(job)).values(label).values, values)


def test_a_file_that_is_gone_is_named_and_computed_again(job, capsys):
    names, victim = set(files(job)), one(job, "gradient")
    victim.unlink()
    code, words = said(capsys, "verify", job)
    assert code == 5
    assert f"gradients: {victim.name}: gone: the list of blocks" in words
    assert said(capsys, "verify", job, "--repair")[0] == 0
    assert said(capsys, "verify", job)[0] == 0
    assert run_command(["run", str(job)]) == 0
    capsys.readouterr()
    assert set(files(job)) == names


def test_what_no_entry_refers_to_is_shown_first_and_goes_when_asked(job, capsys):
    job.write_text(job.read_text().replace("  - {method: tracin_cp}\n", ""))
    names = set(files(job))
    code, words = said(capsys, "gc", job)
    assert code == 0
    assert "trajectory-" in words
    assert set(files(job)) == names  # a dry run
    assert said(capsys, "gc", job, "--yes")[0] == 0
    left = set(files(job))
    assert len(left) < len(names)
    assert not any(name.startswith("trajectory-") for name in left)
    assert sum(name.startswith("blocks-") for name in left) == 1
    assert said(capsys, "verify", job)[0] == 0
    assert open_result(load_job(job)).values("exact").values.shape == (40, 10)
    code, words = said(capsys, "gc", job)
    assert "0 things" in words
