"""A small job carried out once a session: tables with ids and labels that would do harm where they are not escaped."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from good_job import arrays

from orchestrator import Job, JobResult, run
from orchestrator.progress import Screen

HOSTILE = [
    "=1+1",
    "<script>alert(1)</script>",
    'it\'s "quoted"',
    "line\nbreak",
    "../../etc/passwd",
    "@cmd",
    "\x1b[31mred",
]


def hostile_job(folder: Path, name: str = "asked", **changes: object) -> Job:
    """40 training and 10 test instances from Parquet tables, logistic regression, 60 Bernoulli retrains."""
    data = arrays()
    for part, features, labels in (("train", data["X"], data["y"]), ("test", data["X_test"], data["y_test"])):
        frame = pd.DataFrame(features, columns=["height", "Label", "depth"])
        frame["species"] = np.where(labels == 1, "=cat", "dog")
        frame["id"] = [f"{HOSTILE[row % len(HOSTILE)]} {row}" for row in range(len(frame))]
        frame.to_parquet(folder / f"{part}.parquet")
    settings: dict[str, object] = {
        "name": name,
        "data": {"train": "train.parquet", "test": "test.parquet", "label": "species", "id": "id"},
        "learner": {"kind": "logistic_regression", "c": 1.0},
        "campaigns": [{"design": "bernoulli", "probability": 0.5, "retrains": 60}],
        "cluster": {"address": "in_process"},
        "folder": folder,
    }
    return Job.model_validate(settings | changes)


def carried_out(job: Job) -> JobResult:
    """The job's result; what it says is dropped."""
    return run(job, screen=Screen(io.StringIO()))
