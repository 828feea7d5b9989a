"""Where an evaluation is kept: beside the job file for people, with the job's run for the report and its charts."""

import re
import time
from pathlib import Path

from orchestrator.evaluation.record import Evaluation
from orchestrator.replaced_file import replaced_file
from orchestrator.results import JobResult
from orchestrator.tracking.metric_points import Point
from orchestrator.tracking.tracker import Tracker

ARTIFACT = "evaluation.json"


def keep_evaluation(found: Evaluation, result: JobResult, tracker: Tracker) -> tuple[Path, Path]:
    """Write `<job>-evaluation.json` and `.csv` beside the job file and keep both with the run; returns the paths."""
    folder, name = result.job.folder, result.job.name
    paths = folder / f"{name}-evaluation.json", folder / f"{name}-evaluation.csv"
    for path, content in zip(paths, (found.encode(), found.csv()), strict=True):
        with replaced_file(path) as stream:
            stream.write(content)
    parent = tracker.find_job_run()
    if parent is not None:
        tracker.put(parent.run_id, ARTIFACT, found.encode())
        tracker.put(parent.run_id, "evaluation.csv", found.csv())
        tracker.send(parent.run_id, _points(found, parent.run_id))
    return paths


def kept_evaluation(tracker: Tracker) -> Evaluation | None:
    """The evaluation kept last, None where there is none."""
    parent = tracker.find_job_run()
    content = None if parent is None else tracker.get(parent.run_id, ARTIFACT)
    return None if content is None else Evaluation.decode(content)


def _points(found: Evaluation, run_id: str) -> list[Point]:
    now = round(time.time() * 1000)
    figures = {} if found.ceiling is None else {"evaluation/noise_ceiling": found.ceiling}
    for each in found.estimators:
        name = re.sub(r"[^A-Za-z0-9_. -]", "_", each.name)
        if each.datamodeling.value is not None:
            figures[f"evaluation/datamodeling_score/{name}"] = each.datamodeling.value
        if each.label_errors.value is not None:
            figures[f"evaluation/label_error_auroc/{name}"] = each.label_errors.value
    return [Point(run_id, name, value, found.subsets, now) for name, value in figures.items()]
