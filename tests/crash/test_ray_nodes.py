"""Clusters of several nodes: a node that is lost, one that joins, the head that dies. A process for each trial."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def trial(name, tmp_path):
    script = Path(__file__).with_name("ray_nodes_trial.py")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t" * 40, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, str(script), name, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
    assert done.stdout.strip(), done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_node_that_is_lost_costs_no_row(tmp_path):
    answer = trial("lose", tmp_path)
    assert answer["rows"] == answer["planned"]
    assert answer["twice"] == 0
    assert answer["failures"] == 0
    assert answer["retries"] <= 2
    assert answer["workers"] == [4, 2]


def test_a_node_that_joins_gets_workers_within_half_a_minute(tmp_path):
    answer = trial("join", tmp_path)
    assert answer["rows"] == answer["planned"]
    assert answer["workers"] == [2, 4]
    assert answer["seconds_until_more"] < 30


def test_without_any_worker_node_the_driver_waits_for_one_to_return(tmp_path):
    answer = trial("return", tmp_path)
    assert answer["rows"] == answer["planned"]
    assert answer["failures"] == 0
    assert any("waiting for workers" in note for note in answer["notes"])


def test_the_loss_of_the_head_is_an_error_that_says_so(tmp_path):
    answer = trial("head", tmp_path)
    assert "head" in answer["error"]
    assert "is gone" in answer["error"]
    assert answer["seconds"] < 90


def test_a_driver_connects_by_address(tmp_path):
    answer = trial("connect", tmp_path)
    assert answer["rows"] == answer["planned"]
