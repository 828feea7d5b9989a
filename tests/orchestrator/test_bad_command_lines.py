"""Wrong command lines for a job that has results, and for one that was never started.

One clear message that says what, where, which value and how to mend it; exit code 2 (4 where something outside is
missing, 5 where the store refuses); no traceback; nothing written.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from good_job import JOB, write_good_job

from orchestrator.cli import run_command


@dataclass(frozen=True)
class Wrong:
    """A command line after `apportion`, and what has to be said of it."""

    line: str
    words: tuple[str, ...]
    code: int = 2

    @property
    def arguments(self) -> list[str]:
        """The line in words; an underscore stands for a space inside one."""
        return [word.replace("~", " ") for word in self.line.split()]


NEVER_STARTED = [
    Wrong(f"{command} new.yaml {more}".strip(), ("job 'new'", "apportion run"))
    for command, more in (
        ("query", "select~1"),
        ("verify", ""),
        ("export", "handed-on"),
        ("merge", "good.yaml"),
        ("gc", ""),
        ("compact", ""),
        ("explain", "--test 1"),
        ("groups", ""),
        ("interactions", ""),
        ("evaluate", ""),
        ("extend", "--losses zero_one"),
        ("stop", ""),
        ("status", ""),
        ("report", ""),
        ("resume", ""),
        ("values", "--value banzhaf"),
    )
]

NO_SUCH_JOB = [
    Wrong(f"{command} goood.yaml {more}".strip(), ("goood.yaml", "good.yaml"))
    for command, more in (
        ("query", "select~1"),
        ("verify", ""),
        ("import", "members.npz losses.npz"),
        ("export", "handed-on"),
        ("merge", "folder"),
        ("gc", ""),
        ("compact", ""),
        ("explain", "--test 1"),
        ("groups", ""),
        ("interactions", ""),
        ("evaluate", ""),
        ("extend", "--test t.npz"),
        ("submit", ""),
        ("logs", ""),
        ("stop", ""),
        ("plan", ""),
        ("values", "--value banzhaf"),
    )
]

QUERY = [
    Wrong("query good.yaml", ("STATEMENT",)),
    Wrong("query good.yaml select~losss~from~retrains", ("losss", "loss")),
    Wrong("query good.yaml select~1~from~retrain", ("retrain", "retrains")),
    Wrong("query good.yaml ~", ("SELECT",)),
    Wrong("query good.yaml delete~from~retrains", ("SELECT",)),
    Wrong("query good.yaml select~1;select~2", ("one",)),
    Wrong("query good.yaml select~1 -o answer.xlsx", ("answer.xlsx", "'.xlsx'", "--format")),
    Wrong("query good.yaml select~1 -o answer.parqet", ("answer.parqet", "parquet")),
    Wrong("query good.yaml select~1 --format parquet", ("--format", "-o answer.parquet")),
    Wrong("query good.yaml select~1 --format xml", ("--format", "xml", "csv")),
    Wrong("query good.yaml select~1 -o nowhere/answer.csv", ("nowhere",)),
    Wrong("query good.yaml select~1 --memory 0", ("--memory", "0.05")),
    Wrong("query good.yaml select~1 --seconds soon", ("--seconds", "soon")),
    Wrong("query good.yaml select~1/0~from~train~where~error('x')", ("x",)),
]
KEEPING = [
    Wrong("verify good.yaml --values none.npz", ("none.npz", "apportion values")),
    Wrong("verify good.yaml --values train.csv --values train.npz --values job.yaml", ("job.yaml",)),
    Wrong("import good.yaml none.npz losses.npz", ("none.npz", "npz")),
    Wrong("import good.yaml train.csv losses.npz", ("train.csv", "numpy.savez")),
    Wrong("import good.yaml train.npz losses.npz", ("train.npz", "no `members`", "[rows, 40]")),
    Wrong("import good.yaml wide.npz losses.npz", ("wide.npz", "(3, 41)", "[rows, 40]")),
    Wrong("import good.yaml members.npz losses.npz", ("members.npz", "subsets_from_file")),
    Wrong("import good.yaml members.npz", ("LOSSES",)),
    Wrong("export good.yaml", ("FOLDER",)),
    Wrong("export good.yaml there", ("there", "is there already", "not there")),
    Wrong("merge good.yaml nowhere", ("nowhere", "store.json", "apportion export")),
    Wrong("merge good.yaml there", ("there", "store.json")),
    Wrong("merge good.yaml", ("SOURCE",)),
    Wrong("gc good.yaml --no", ("--no",)),
    Wrong("compact good.yaml --now", ("--now",)),
]
ASKING = [
    Wrong("explain good.yaml", ("one question", "--test 5")),
    Wrong("explain good.yaml --test 1 --train 2", ("one question", "--train 17")),
    Wrong("explain good.yaml --test 10", ("10", "0 to 9")),
    Wrong("explain good.yaml --train 40", ("40", "0 to 39")),
    Wrong("explain good.yaml --test -1", ("-1", "0 to 9")),
    Wrong("explain good.yaml --test Bob", ("Bob", "0 to 9")),
    Wrong("explain good.yaml --test 1 --value banzaf", ("banzaf", "banzhaf")),
    Wrong("explain good.yaml --test 1 --loss cross_entrop", ("cross_entrop", "cross_entropy")),
    Wrong("explain good.yaml --test 1 --campaign x", ("'x'", "uniform", "bernoulli")),
    Wrong("explain good.yaml --test 1 --count 0", ("--count", "0")),
    Wrong("explain good.yaml --test 1 --value memorization", ("memorization", "--value")),
    Wrong("groups good.yaml --by colour", ("colour", "class")),
    Wrong("groups good.yaml --loss cross_entrop", ("cross_entrop", "cross_entropy")),
    Wrong("groups good.yaml --of clip(cros_entropy,1)", ("cros_entropy", "cross_entropy")),
    Wrong("groups good.yaml --campaign x", ("'x'", "uniform")),
    Wrong("groups good.yaml -o nowhere/groups.csv", ("nowhere",)),
    Wrong("interactions good.yaml --pairs 3-17", ("--pairs", "'3-17'", "3:17,20:41")),
    Wrong("interactions good.yaml --pairs 3:3", ("3", "pair")),
    Wrong("interactions good.yaml --pairs 3:99", ("99", "0 to 39")),
    Wrong("interactions good.yaml --value banzaf_interaction", ("banzaf_interaction", "banzhaf_interaction")),
    Wrong("interactions good.yaml --strongest 0", ("--strongest", "0")),
    Wrong("interactions good.yaml --loss cross_entrop", ("cross_entrop", "cross_entropy")),
    Wrong("interactions good.yaml --campaign x", ("'x'", "bernoulli")),
    Wrong("evaluate good.yaml --scores none.npz", ("none.npz",)),
    Wrong("evaluate good.yaml --scores train.npz", ("train.npz", "scores")),
    Wrong("evaluate good.yaml --hold-out 2", ("--hold-out", "0.9")),
    Wrong("evaluate good.yaml --loss cross_entrop", ("cross_entrop", "cross_entropy")),
    Wrong("evaluate good.yaml --campaign x", ("'x'", "bernoulli")),
    Wrong("values good.yaml", ("--value",)),
    Wrong("values good.yaml --value banzaf", ("banzaf", "banzhaf")),
    Wrong("values good.yaml --value shapley --campaign uniform", ("shapley", "uniform")),
    Wrong("values good.yaml --value banzhaf --of clip(cros_entropy,1)", ("cros_entropy", "cross_entropy")),
    Wrong("values good.yaml --value banzhaf --of __import__('os')", ("__import__",)),
    Wrong("values good.yaml --value banzhaf --of clip(", ("clip(",)),
    Wrong("values good.yaml --value banzhaf --over tests", ("--over", "tests", "class")),
    Wrong("values good.yaml --value banzhaf --over group", ("group", "data.test_group")),
    Wrong("values good.yaml --value banzhaf --loss zero_on", ("zero_on", "zero_one")),
    Wrong("values good.yaml --value banzhaf --campaign x", ("'x'", "bernoulli")),
    Wrong("values good.yaml --value banzhaf --test-set later", ("later", "apportion extend")),
    Wrong("values good.yaml --value banzhaf -o values.xlsx", ("values.xlsx", "'.xlsx'", "--format")),
    Wrong("values good.yaml --value banzhaf -o nowhere/values.csv", ("nowhere",)),
]
LAUNCHING = [
    Wrong("extend good.yaml", ("nothing to extend by", "--test FILE")),
    Wrong("extend good.yaml --test none.npz", ("none.npz",)),
    Wrong("extend good.yaml --losses margn", ("margn", "margin")),
    Wrong("extend good.yaml --losses margin --name ../x", ("--name", "../x", "letters")),
    Wrong("extend good.yaml --losses margin", ("without their models", "keep: true"), code=5),
    Wrong("submit good.yaml", ("store.tracking_uri", "the cluster does not see", "MLflow server")),
    Wrong("submit sent.yaml", ("--address", "RAY_API_SERVER_ADDRESS")),
    Wrong("submit sent.yaml --address ray://127.0.0.1:10001", ("ray://", "http://")),
    Wrong("submit sent.yaml --address http://127.0.0.1:9", ("http://127.0.0.1:9",), code=4),
    Wrong("logs goood", ("--address http://HEAD:8265", "RAY_API_SERVER_ADDRESS")),
    Wrong("logs goood --address http://127.0.0.1:9", ("http://127.0.0.1:9",), code=4),
    Wrong("stop goood", ("goood", "--store")),
    Wrong("stop goood --store sqlite:///apportion.db", ("goood", "apportion submit")),
    Wrong("stop goood --store http://127.0.0.1:9", ("127.0.0.1:9", "mlflow server"), code=4),
    Wrong("status goood --store ftp://127.0.0.1", ("ftp", "sqlite:///apportion.db")),
    Wrong("status good.yaml --every 0", ("--every", "0.2")),
    Wrong("resume goood --store sqlite:///apportion.db", ("goood", "apportion submit")),
    Wrong("plan", ("JOB",)),
    Wrong("plan good.yaml more", ("more",)),
    Wrong("run good.yaml --cluster here", ("`here`", "HOST:PORT")),
    Wrong("qery good.yaml", ("qery", "query")),
]
ROWS = NEVER_STARTED + NO_SUCH_JOB + QUERY + KEEPING + ASKING + LAUNCHING


@pytest.fixture(scope="module")
def folder(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job `good`, a job `new` that was never started, and files that are not what commands want."""
    folder = tmp_path_factory.mktemp("commands")
    shutil.copy(template_database, folder / "apportion.db")
    write_good_job(folder)
    job = JOB.replace("retrains: 20", "retrains: 60").replace("retrains: 30", "retrains: 60")
    (folder / "good.yaml").write_text(job, encoding="utf-8")
    absolute = JOB.replace("sqlite:///apportion.db", f"sqlite:///{folder.parent}/apportion.db")
    (folder / "sent.yaml").write_text(absolute.replace("in_process", "local"), encoding="utf-8")
    (folder / "new.yaml").write_text(JOB.replace("name: good", "name: new"), encoding="utf-8")
    rng = np.random.default_rng(1)
    np.savez(folder / "members.npz", members=rng.random((3, 40)) < 0.5)
    np.savez(folder / "wide.npz", members=rng.random((3, 41)) < 0.5)
    np.savez(folder / "losses.npz", cross_entropy=rng.random((3, 10)))
    (folder / "there").mkdir()
    assert run_command(["run", str(folder / "good.yaml")]) == 0
    return folder


def contents(folder: Path) -> dict[str, str]:
    """What stands in the folder; the database, the read cache and compiled code of ours may be touched by readers."""
    mine = ("apportion.db", ".apportion/", "__pycache__/")
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    kept = {name: path for name, path in files.items() if not any(part in f"{name}" for part in mine)}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in kept.items()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line)
def test_a_wrong_command_line_gives_one_clear_message_and_writes_nothing(row, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for variable in ("MLFLOW_TRACKING_URI", "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(variable, raising=False)
    before = contents(folder)
    code = run_command(row.arguments)
    out, said = capsys.readouterr()
    assert code == row.code, said + out
    assert "error: " in said.lower()
    for word in row.words:
        assert word in said
    for word in ("Traceback", "bug of apportion"):
        assert word not in said + out
    assert contents(folder) == before


def test_every_command_that_takes_a_job_has_rows():
    from orchestrator.cli import COMMANDS

    wanted = {*COMMANDS} - {"init", "methods", "doctor"}
    assert wanted <= {row.arguments[0] for row in ROWS}
