"""Texts that would do harm where they are not escaped, through a whole job: MLflow, report, CSV, query, terminal.

Names of campaigns, data files, columns, classes and instances. MLflow must give back what was written; its pages are
looked at in a real browser.
"""

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from good_job import arrays
from stored_job import carried_out
from test_report_page import CHROMIUM, QUIET

from orchestrator import Job, JobResult
from orchestrator.cli import run_command
from orchestrator.jobs.job import CampaignSpec
from orchestrator.tracking.client import open_client

BAIT = "<img src=x onerror=document.title='owned'>"
TEXTS = [
    BAIT,
    "<script>document.title='owned'</script>",
    "\"><svg onload=document.title='owned'>",
    "'); DROP TABLE runs; --",
    "quote \" and ' and `",
    "new\nline\r\nand tab\t",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "../../../../etc/passwd",
    "C:\\Windows\\System32",
    "/dev/null",
    "file:///etc/passwd",
    "zero\u200bwidth\u200d\ufeff",
    "\u202edesrever",
    "nul\x00byte",
    "\x1b[31mred\x1b]0;owned\x07",
    "{{ 7 * 7 }}${jndi:ldap://x}%s%n",
    "[link](javascript:alert(1)) ![x](http://127.0.0.1:9/x.png)",
    "数据 🦆 a\u0301",
    "long " * 1500,
    "",
    " ",
    "NaN",
    "null",
    "__proto__",
]
COLUMNS = [BAIT, "=cmd|' /C calc'!A0", "new\nline\u200b", "../../" + "x" * 400, "label", "influence; drop table runs"]
FILE = "<img src=x onerror=document.title='owned'> =1+1 '\".parquet"


def a_job(folder: Path) -> Job:
    data, classes = arrays(), ["=cat|' /C calc'!A0 " + BAIT, "dog\n\u202e\x1b[31m\u200b"]
    rng = np.random.default_rng(1)
    for file, labels in ((FILE, data["y"]), ("test.parquet", data["y_test"])):
        rows = len(labels)
        frame = pd.DataFrame(rng.normal(size=(rows, len(COLUMNS))), columns=COLUMNS)
        frame["species"] = [classes[label] for label in labels]
        frame["id"] = [f"{TEXTS[row % len(TEXTS)]} {row}" for row in range(rows)]
        frame.to_parquet(folder / file)
    settings = {
        "name": "hostile",
        "data": {"train": FILE, "test": "test.parquet", "label": "species", "id": "id"},
        "learner": {"kind": "logistic_regression", "c": 1.0},
        "campaigns": [
            {"design": "bernoulli", "probability": 0.5, "retrains": 30, "name": f"{BAIT} =1+1 'a' \"b\" #?%2e%2e"},
            {"design": "uniform", "fraction": 0.5, "retrains": 20, "name": "../../etc/passwd"},
        ],
        "values": ["banzhaf", "downsampling", "memorization"],
        "cluster": {"address": "in_process"},
        "folder": folder,
    }
    return Job.model_validate(settings)


@pytest.fixture(scope="module")
def result(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> JobResult:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(template_database, folder / "apportion.db")
    return carried_out(a_job(folder))


@pytest.fixture
def asked(result: JobResult, monkeypatch: pytest.MonkeyPatch) -> JobResult:
    """The job, whatever file a command is given."""
    for command in ("values", "query", "explain", "report", "verify", "groups", "interactions"):
        monkeypatch.setattr(f"orchestrator.commands.{command}.load_job", lambda path: result.job)
    return result


def test_mlflow_gives_back_what_was_written(result):
    client = open_client(f"sqlite:///{result.job.folder}/apportion.db", shown="here")
    [experiment] = [each for each in client.search_experiments() if each.name == "hostile"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    names = [campaign.name for campaign in result.job.campaigns]
    assert set(runs) == {"hostile", *names}
    for name in names:
        run = runs[name]
        assert run.data.params["n"] == "40"
        inputs = {each.tags[0].value: each.dataset for each in run.inputs.dataset_inputs}
        assert inputs["training"].name == FILE
        assert json.loads(inputs["training"].source)["uri"].endswith(FILE)
        written = [column["name"] for column in json.loads(inputs["training"].schema)["mlflow_colspec"]]
        assert written == [*COLUMNS, "label"]
        assert not re.search(r"(?<!\\)<", run.data.tags["mlflow.note.content"]), "Markdown shows it as a text"
    assert runs["hostile"].data.params["campaigns"] == ", ".join(names)


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_report_holds_texts_and_no_element_of_theirs(asked):
    assert run_command(["report", "job.yaml"]) == 0
    page = (asked.job.folder / "hostile-report.html").read_text(encoding="utf-8")
    parser = _Elements()
    parser.feed(page)
    assert not [tag for tag, _ in parser.found if tag in {"script", "iframe", "object", "embed", "form", "link"}]
    assert not [attrs for _, attrs in parser.found if any(name.startswith("on") for name in attrs)]
    assert all((attrs["src"] or "").startswith("data:image/") for _, attrs in parser.found if "src" in attrs)
    assert "onerror=document.title" in page
    assert not re.search("[\x00\x1b\u202e]", page)


def test_no_cell_of_any_csv_file_would_run(asked, tmp_path):
    files = [tmp_path / f"{number}.csv" for number in range(5)]
    lines = [
        ["values", "job.yaml", "--value", "banzhaf", "-o", str(files[0])],
        ["groups", "job.yaml", "-o", str(files[1])],
        ["interactions", "job.yaml", "-o", str(files[2])],
        ["query", "job.yaml", "select * from train", "-o", str(files[3])],
        ["query", "job.yaml", "select * from campaigns", "-o", str(files[4])],
    ]
    assert [run_command(line) for line in lines] == [0] * len(lines)
    kept = list((asked.job.folder / "apportion-artifacts").rglob("*.csv"))
    assert kept
    for path in [*files, *kept]:
        cells = [cell for row in csv.reader(io.StringIO(path.read_bytes().decode(), newline="")) for cell in row]
        assert cells
        bad = [cell for cell in cells if cell[:1] in set("=+-@\t\r") and not _is_number(cell)]
        assert not bad, (path, bad[:3])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("ending", ["parquet", "json"])
def test_a_question_gives_columns_and_texts_back_as_they_are(asked, tmp_path, ending):
    path = tmp_path / f"answer.{ending}"
    assert run_command(["query", "job.yaml", "select * from train order by train_index", "-o", str(path)]) == 0
    rows = pd.read_parquet(path).to_dict("records") if ending == "parquet" else json.loads(path.read_text("utf-8"))
    assert [row["name"] for row in rows] == [f"{TEXTS[row % len(TEXTS)]} {row}" for row in range(40)]
    taken = {name: f"user_{name}" for name in ("label",)}
    assert {taken.get(name, name) for name in COLUMNS} <= set(rows[0])


def test_a_terminal_is_sent_no_control_character_and_instances_are_found_by_their_names(asked, capsys):
    for row, text in enumerate(TEXTS):
        name = f"{text} {row}"
        assert run_command(["explain", "job.yaml", "--train", name]) == 0, name
    for words in (["--value", "banzhaf"], ["--value", "memorization"]):
        assert run_command(["values", "job.yaml", *words]) == 0
    assert run_command(["query", "job.yaml", "select * from train"]) == 0
    assert run_command(["query", "job.yaml", "select * from campaigns"]) == 0
    assert run_command(["groups", "job.yaml"]) == 0
    assert run_command(["interactions", "job.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "onerror" in out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", re.sub("\x1b\\[[0-9;]*m", "", out + err))
    assert "\x1b[31mred" not in out + err
    assert "\x1b]0" not in out + err


@pytest.mark.parametrize("name", ["x" * 201, "new\nline", "\x1b[31mred", "zero\u200bwidth", "\u202edesrever", ""])
def test_a_campaign_name_that_no_run_or_terminal_can_show_is_refused(name):
    with pytest.raises(ValueError, match=r"200 characters|cannot be printed|at least 1 character"):
        CampaignSpec.model_validate({"design": "bernoulli", "name": name})


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; .ci/run installs it")
def test_mlflows_pages_show_them_as_texts(result, own_server, tmp_path):
    job = result.job.model_copy(
        update={"store": result.job.store.model_copy(update={"tracking_uri": own_server.address})}
    )
    carried_out(job)
    client = open_client(own_server.address, shown="here")
    experiment = client.get_experiment_by_name("hostile")
    runs = client.search_runs([experiment.experiment_id])
    pages = [f"{own_server.address}/#/experiments/{experiment.experiment_id}/runs"]
    pages += [f"{own_server.address}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}" for run in runs]
    for number, page in enumerate(pages):
        options = ["--dump-dom", "--virtual-time-budget=20000", f"--user-data-dir={tmp_path / str(number)}"]
        seen = subprocess.run(
            [str(CHROMIUM), *QUIET.split(), "--disable-background-networking", *options, page],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        assert "onerror" in seen, page
        assert "<title>owned" not in seen, page
        assert not re.search(r"<(img|svg)[^>]*\son\w+=", seen), page
