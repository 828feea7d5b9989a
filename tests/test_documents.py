"""What the documents show is so: blocks run, job files load, commands exist, links lead somewhere."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest
import yaml
from sklearn.datasets import load_breast_cancer

from orchestrator import Job, arrays_data, load_job, run
from orchestrator.cli import COMMANDS, cli
from orchestrator.preparation import user_code
from orchestrator.progress import Screen
from orchestrator.query.engine import Limits, answer
from orchestrator.query.views import views_of
from orchestrator.results import open_stored
from orchestrator.starter import write_starter

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
IDS = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
ELSEWHERE = ("http://", "https://", "mailto:", "#")


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def cancer(n: int = 40, n_test: int = 12) -> SimpleNamespace:
    X, y = load_breast_cancer(return_X_y=True)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    return SimpleNamespace(X=X[:n], y=y[:n], X_test=X[300 : 300 + n_test], y_test=y[300 : 300 + n_test])


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_relative_links_lead_to_files(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    missing = [
        target
        for target in targets
        if not target.startswith(ELSEWHERE) and not (document.parent / target.partition("#")[0]).exists()
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_command_and_option_shown_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    code = ["".join(found) for found in re.findall(r"`([^`\n]+)`|^\.venv/bin/(.*)$", text, flags=re.MULTILINE)]
    shown = [line.partition("#")[0] for each in code for line in re.findall(r"^apportion ([a-z]+.*)$", each)]
    for line in shown:
        name, *words = shlex.split(line)
        if "," in line:  # a list of commands
            assert set(line.split(", ")) <= set(COMMANDS)
            continue
        assert name in COMMANDS, f"{document.name}: apportion {line}"
        options = {word for word in words if word.startswith("-")}
        known = {option for each in cli.get_command(None, name).params for option in each.opts}
        assert options <= known, f"{document.name}: apportion {line}"


def test_every_make_target_shown_exists() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    shown = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {"run", "test"} <= shown <= targets


def test_the_job_file_of_the_readme_is_valid(tmp_path: Path) -> None:
    (block,) = blocks("README.md", "yaml")
    (tmp_path / "job.yaml").write_text(block, encoding="utf-8")
    job = load_job(tmp_path / "job.yaml")
    assert [campaign.design for campaign in job.campaigns] == ["uniform", "bernoulli"]


def test_the_python_of_the_readme_runs_as_it_stands(
    tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tracking_database.parent)
    (block,) = blocks("README.md", "python")
    names = dict(vars(cancer()))
    exec(compile(block, "README.md", "exec"), names)
    assert names["influence"].values.shape == (40, 12)
    assert len(names["influence"].proponents(0, count=3)) == 3
    assert "influence" in capsys.readouterr().out


def small(path: Path, folder: Path, retrains: int) -> Job:
    """The job of a file with few retrains of one epoch, in this process; its store is in `folder`."""
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    for campaign in settings["campaigns"]:
        campaign["retrains"] = retrains
    settings["learner"]["epochs"] = 1
    settings["cluster"] = {"address": "in_process"}
    target = folder / "job.yaml"
    target.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return load_job(target)


def test_the_starter_job_loads_and_runs(tmp_path: Path, tracking_database: Path) -> None:
    write_starter(tmp_path / "starter")
    job_file = tmp_path / "starter" / "job.yaml"
    load_job(job_file)
    tracking_database.rename(job_file.parent / tracking_database.name)
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        result = run(small(job_file, job_file.parent, 12), screen=Screen(log))
    assert result.values("downsampling").values.shape == (500, 200)
    assert result.report is not None


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/job.yaml")), ids=lambda path: path.parent.name)
def test_the_job_files_of_the_examples_load_with_their_code(path: Path) -> None:
    code = user_code(load_job(path))
    assert code is None or code.files


def test_the_queries_of_the_stores_description_give_what_the_estimators_give(
    tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cancer()
    job = Job(
        name="store",
        data=arrays_data(data.X, data.y, data.X_test, data.y_test),
        learner={"kind": "logistic_regression", "c": 0.1},
        campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": 60}],
        cluster={"address": "in_process"},
        folder=tracking_database.parent,
    )
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        result = run(job, screen=Screen(log))
    monkeypatch.chdir(tracking_database.parent)
    campaign = result.campaigns[0]
    stored = next(campaign.retrains("cross_entropy", 0, 60))

    (query,) = blocks("docs/store.md", "sql")
    with duckdb.connect() as connection:
        by_size = dict(connection.sql(query).fetchall())
    sizes = stored.members.sum(axis=1)
    for size in np.unique(sizes):
        np.testing.assert_allclose(by_size[size], stored.losses[sizes == size, 5].mean(dtype=np.float64), rtol=1e-6)
    assert {0, 40} <= set(by_size)

    (block,) = blocks("docs/store.md", "python")
    names: dict[str, object] = {}
    exec(compile(block, "docs/store.md", "exec"), names)
    np.testing.assert_allclose(names["influence"], result.values("banzhaf_sample_reuse").values[17, 5], rtol=1e-6)


def test_the_python_of_kept_models_runs_as_it_stands(
    tracking_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, later = cancer(), cancer(n_test=5)
    job = Job(
        name="kept",
        data=arrays_data(data.X, data.y, data.X_test, data.y_test),
        learner={"kind": "logistic_regression", "c": 0.1, "keep": True},
        campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": 12}],
        cluster={"address": "in_process"},
        folder=tracking_database.parent,
    )
    names = {"result": run(job), "X_later": later.X_test + 0.5, "y_later": later.y_test}
    for block in blocks("docs/kept_models.md", "python"):
        exec(compile(block, "docs/kept_models.md", "exec"), names)
    assert names["influence"].values.shape == (40, 5)
    assert capsys.readouterr().out.count("coefficients") == 3


def test_the_questions_of_the_query_document_are_answered_and_right(
    tmp_path: Path, tracking_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = cancer()
    job = Job(
        name="asked",
        data=arrays_data(data.X, data.y, data.X_test, data.y_test),
        learner={"kind": "logistic_regression", "c": 0.1},
        campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": 60}],
        cluster={"address": "in_process"},
        folder=tracking_database.parent,
    )
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        result = run(job, screen=Screen(log))
    stored = next(result.campaigns[0].retrains("cross_entropy", 0, 60))
    ends = result.campaigns[0].ends("cross_entropy")
    views = views_of(open_stored(job), [].append)
    answers = []
    for statement in blocks("docs/query.md", "sql"):
        with answer(statement, views, Limits()) as reader:
            answers.append(reader.read_all().to_pandas())
    by_size, mean, worst, wrong, harmful = answers
    assert by_size["subsets"].sum() == 62
    chosen = stored.members[:, 17] & ~stored.members[:, 3]
    assert mean["mean_loss"][0] == pytest.approx(stored.losses[chosen, 5].mean(dtype=np.float64), rel=1e-6)
    everything = np.concatenate([stored.losses[:, 5], ends.full[:, 5], ends.empty[5:6]])
    np.testing.assert_allclose(worst["loss"], np.sort(everything)[::-1][:10], rtol=1e-6)
    assert list(wrong["wrong"]) == sorted(wrong["wrong"], reverse=True)
    lowest = np.sort(result.values("banzhaf").data_values().values)[:10]
    np.testing.assert_allclose(harmful["influence"], lowest)

    (block,) = blocks("docs/query.md", "python")
    names: dict[str, object] = {"job": job}
    exec(compile(block, "docs/query.md", "exec"), names)
    inside, losses = stored.members[:, 17], stored.losses[:, 5].astype(np.float64)
    assert names["evidence"].difference == pytest.approx(losses[~inside].mean() - losses[inside].mean(), rel=1e-6)
    assert len(names["means"]) == 12
    assert capsys.readouterr().out


def test_the_python_of_the_values_runs_as_it_stands(
    tracking_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tracking_database.parent)
    for block in blocks("docs/values.md", "python"):
        exec(compile(block, "docs/values.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "interaction" in printed
    assert "group" in printed


def test_the_python_of_gradient_methods_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("docs/gradients.md", "python")
    names: dict[str, object] = {}
    exec(compile(block, "docs/gradients.md", "exec"), names)
    assert names["values"].shape == (50, 10)
    assert "damping" in capsys.readouterr().out
