"""`apportion explain`: the right instances, an honest forecast, and clear refusals."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from good_job import write_good_job

from orchestrator.cli import cli, run_command
from orchestrator.explaining import explain_test, explain_train
from orchestrator.jobs.job_file import load_job
from orchestrator.results import JobResult, open_result


@pytest.fixture(scope="module")
def job(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_good_job(tmp_path_factory.mktemp("explain"))
    shutil.copy(template_database, path.parent / "apportion.db")
    assert run_command(["run", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def result(job: Path) -> JobResult:
    return open_result(load_job(job))


def places(table) -> list[int]:
    return [int(title.split()[0].removeprefix("#")) for title in table.iloc[:, 0]]


def test_a_test_instance_shows_the_ends_of_its_column(result: JobResult) -> None:
    influence = result.values("banzhaf")
    found = explain_test(result, influence, 3, count_shown=5)
    column = influence.values[:, 3]
    best, worst = np.argsort(-column)[:5], np.argsort(column)[:5]
    assert places(found.proponents) == [i for i in best if column[i] > 0]
    assert places(found.opponents) == [i for i in worst if column[i] < 0]


def test_a_training_instance_shows_the_ends_of_its_row(result: JobResult) -> None:
    influence = result.values("banzhaf")
    found = explain_train(result, influence, 7, count_shown=3)
    row = influence.values[7]
    assert places(found.proponents) == [j for j in np.argsort(-row)[:3] if row[j] > 0]
    assert places(found.opponents) == [j for j in np.argsort(row)[:3] if row[j] < 0]


def test_what_is_called_certain_is_what_the_influence_calls_certain(result: JobResult) -> None:
    influence = result.values("banzhaf")
    found = explain_test(result, influence, 3, count_shown=100)
    shown = {*places(found.proponents), *places(found.opponents)}
    called = {
        place
        for table in (found.proponents, found.opponents)
        for place, sign in zip(places(table), table["sign"], strict=True)
        if sign == "certain"
    }
    assert called == set(np.flatnonzero(influence.certain()[:, 3])) & shown


def test_the_command_answers_either_question_and_says_what_to_try_next(job: Path) -> None:
    for question in (["--test", "3"], ["--train", "7"]):
        done = CliRunner().invoke(cli, ["explain", str(job), *question])
        assert done.exit_code == 0
        assert "Banzhaf" in done.output or "Downsampling" in done.output
        assert "signs are certain" in done.output
        assert done.output.rstrip().splitlines()[-1].startswith("Next: apportion explain")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["one question", "--test 5 or --train 17"]),
        (["--test", "1", "--train", "1"], ["one question"]),
        (["--test", "10"], ["no test instance 10", "there are 10", "0 to 9"]),
        (["--train", "-1"], ["no training instance -1", "0 to 39"]),
        (["--test", "1", "--value", "banzaf"], ["banzaf", "banzhaf"]),
        (["--test", "1", "--loss", "hinge"], ["hinge", "cross_entropy"]),
        (["--test", "1", "--campaign", "nope"], ["nope", "bernoulli"]),
    ],
)
def test_a_wrong_question_is_refused_in_words(job: Path, options: list[str], words: list[str], capsys) -> None:
    assert run_command(["explain", str(job), *options]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert "Traceback" not in said


def test_pairs_are_listed_by_the_command_and_wrong_ones_refused(job: Path, tmp_path: Path, capsys) -> None:
    done = CliRunner().invoke(cli, ["interactions", str(job), "--strongest", "3"])
    assert done.exit_code == 0
    assert "banzhaf_interaction on cross_entropy, 3 pairs" in done.output
    assert done.output.rstrip().splitlines()[-1].startswith("Next: apportion explain")
    file = tmp_path / "pairs.csv"
    assert run_command(["interactions", str(job), "--pairs", "3:17, 5:9", "-o", str(file)]) == 0
    assert len(file.read_text(encoding="utf-8").splitlines()) == 3
    for options, words in (
        (["--pairs", "3-17"], ["3-17", "3:17,20:41"]),
        (["--pairs", "3:3"], ["3:3", "two different"]),
        (["--value", "banzhaf_interactoin"], ["banzhaf_interaction"]),
    ):
        capsys.readouterr()
        assert run_command(["interactions", str(job), *options]) == 2
        said = capsys.readouterr().err
        assert all(word in said for word in words)
        assert "Traceback" not in said


def test_groups_are_valued_by_class_and_unknown_columns_refused(job: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "groups.csv"
    assert run_command(["groups", str(job), "-o", str(file)]) == 0
    said = capsys.readouterr()
    assert "groups were whole inside or whole outside fewer than 10 subsets" in said.err  # 20 instances a class
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("group,size,influence")
    assert "sum_of_banzhaf" in lines[0]
    assert run_command(["groups", str(job), "--by", "colour"]) == 2
    assert "no such column" in capsys.readouterr().err


def test_a_report_is_called_stale_once_the_rows_are_others(
    template_database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_good_job(tmp_path)
    shutil.copy(template_database, tmp_path / "apportion.db")
    assert run_command(["run", str(path)]) == 0
    kept = tmp_path / "then.html"
    shutil.copy(tmp_path / "good-report.html", kept)
    capsys.readouterr()
    assert run_command(["verify", str(path), "--values", str(kept)]) == 0
    assert "of the rows that the store has now" in capsys.readouterr().out
    path.write_text(path.read_text(encoding="utf-8").replace("retrains: 30", "retrains: 40"), encoding="utf-8")
    assert run_command(["run", str(path)]) == 0
    capsys.readouterr()
    assert run_command(["verify", str(path), "--values", str(kept)]) == 0
    assert "stale" in capsys.readouterr().out
    assert run_command(["verify", str(path), "--values", str(tmp_path / "good-report.html")]) == 0
    assert "of the rows that the store has now" in capsys.readouterr().out
