"""The driver's log beside its journal, and how few of its warnings the terminal shows."""

import contextlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from orchestrator import driver_log as module
from orchestrator.cli import run_command
from orchestrator.driver_log import DRIVER_LOG, driver_log, read_driver_log
from orchestrator.errors import JobError
from orchestrator.remarks import MOST_OF_A_KIND, Remarks, remarks_by

LOG = logging.getLogger("orchestrator.driver.dispatch")
JOB = """\
name: cursed
data: {train: train.npz, test: test.npz}
learner: {kind: function, function: "train.py:losses", deterministic: true}
campaigns: [{design: bernoulli, probability: 0.5, retrains: 60}]
values: [banzhaf]
cluster: {address: in_process}
"""
CURSED = """
import numpy as np

def losses(members, seed, *, folder=None):
    if members.sum() % 2:
        raise ValueError("odd sizes are cursed, and http://me:hunter22@host is where")
    return {"cross_entropy": np.full(10, float(members.sum()), dtype=np.float32)}
"""


def test_a_decision_is_one_line_with_its_numbers_and_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_TOKEN", "tok-123456")
    with driver_log(tmp_path):
        LOG.info("chunk %d: copied\nfor tok-123456 of http://me:hunter22@host/", 7, extra={"facts": {"in_flight": 3}})
        LOG.debug("never")
    LOG.info("after")
    path = tmp_path / DRIVER_LOG
    [line] = path.read_text().splitlines()
    record = json.loads(line)
    assert record["in_flight"] == 3
    assert record["level"] == "info"
    assert record["text"].startswith("chunk 7: copied for *** of http://")
    assert "hunter22" not in line
    assert path.stat().st_mode & 0o077 == 0
    assert read_driver_log(tmp_path)[0].endswith("(in_flight 3)")


def test_the_log_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 20_000)
    with driver_log(tmp_path):
        for chunk in range(1000):
            LOG.warning("chunk %d failed", chunk)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 40_000
    assert read_driver_log(tmp_path)[-1].endswith("chunk 999 failed")


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    with driver_log(tmp_path / "absent"):
        LOG.warning("heard by nobody")


def test_of_a_thousand_warnings_of_a_kind_three_are_said_and_the_rest_counted():
    said: list[str] = []
    remarks = Remarks(said.append)
    for chunk in range(1000):
        text = f"chunk {chunk} (8 rows, attempt 1) failed: exception: {chunk} is cursed; try 2, elsewhere"
        remarks.handle(logging.LogRecord("orchestrator", logging.WARNING, "", 0, text, None, None))
    remarks.finish()
    assert len(said) == MOST_OF_A_KIND + 2
    assert said[-1].startswith("997 more like it")


def test_warnings_are_remarks_until_the_command_ends_whatever_ends_it():
    said: list[str] = []
    logger = logging.getLogger("orchestrator")
    before = (list(logger.handlers), logger.propagate)
    with contextlib.suppress(KeyboardInterrupt), remarks_by(said.append):
        LOG.warning("a worker is slow")
        raise KeyboardInterrupt
    assert said == ["a worker is slow"]
    assert (logger.handlers, logger.propagate) == before


def test_extend_leaves_no_remarks_behind(tmp_path, monkeypatch):
    def refused(*_words, **_options):
        raise JobError("no kept models", mend="keep: true")

    handlers = list(logging.getLogger("orchestrator").handlers)
    monkeypatch.setattr("orchestrator.commands.extend.load_job", lambda path: path)
    monkeypatch.setattr("orchestrator.commands.extend.extend", refused)
    assert run_command(["extend", str(tmp_path / "job.yaml")]) == 2
    assert logging.getLogger("orchestrator").handlers == handlers


@pytest.mark.usefixtures("tracking_database")
def test_a_learner_that_fails_on_every_second_subset_says_little_and_logs_all(tmp_path, capsys):
    generator = np.random.default_rng(3)
    for name, rows in (("train", 60), ("test", 10)):
        np.savez(tmp_path / f"{name}.npz", X=generator.normal(size=(rows, 3)), y=np.arange(rows) % 2)
    Path(tmp_path, "train.py").write_text(CURSED)
    job = Path(tmp_path, "job.yaml")
    job.write_text(JOB)
    assert run_command(["run", str(job)]) == 3
    failed = sum("failed for good" in line for line in capsys.readouterr().err.splitlines())
    assert 0 < failed <= MOST_OF_A_KIND
    assert run_command(["logs", str(job)]) == 0
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if "failed for good" in line]
    assert len(lines) > 15
    assert "rows_failed" in lines[-1]
    assert "hunter22" not in shown
