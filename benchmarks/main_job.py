"""How long does the main job take, how well does it find the label errors, and are its figures the same bits twice?

Runs the job of examples/label_errors twice in fresh folders, as `make run` does, and prints one table.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from estimators.evaluation.label_errors import label_errors
from orchestrator import JobResult, load_job, open_result

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "label_errors"
VALUES = [
    ("memorization", "downsampling"),
    ("memorization", "banzhaf"),
    ("held_out_loss", "downsampling"),
    ("held_out_loss", "banzhaf"),
    ("downsampling", "downsampling"),
    ("banzhaf", "banzhaf"),
]


def carried_out(folder: Path) -> tuple[float, JobResult]:
    """Seconds of one run in a fresh folder, and its results."""
    shutil.copytree(
        EXAMPLE, folder, ignore=shutil.ignore_patterns("*.db", "apportion-artifacts", ".apportion", "*.html")
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "orchestrator", "run", str(folder / "job.yaml")], check=True)
    return time.monotonic() - began, open_result(load_job(folder / "job.yaml"))


def digest(result: JobResult) -> str:
    """A hash over the bits of every value and standard error."""
    hasher = hashlib.sha256()
    for value, campaign in VALUES:
        found = result.values(value, campaign=campaign)
        hasher.update(found.values.tobytes())
        hasher.update(found.standard_errors.tobytes())
    return hasher.hexdigest()[:16]


def main() -> None:
    """Run twice and print."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [carried_out(Path(folder) / str(number)) for number in (1, 2)]
        print(
            f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, numpy {np.__version__}"
        )
        print(f"seconds: {', '.join(f'{seconds:.0f}' for seconds, _ in runs)}")
        digests = {digest(result) for _, result in runs}
        print(
            f"values: {'the same bits' if len(digests) == 1 else 'DIFFERENT BITS'} in both runs ({', '.join(digests)})"
        )
        print_scores(runs[0][1])


def print_scores(result: JobResult) -> None:
    """How well each score finds the known label errors among the most suspicious 10 %."""
    known = result.loaded.known_label_errors
    print(f"{'score':<16} {'campaign':<14} {'AUROC':>7} {'precision':>10} {'recall':>8} {'signs certain':>14}")
    for value, campaign in VALUES:
        found = result.values(value, campaign=campaign)
        is_self_score = value in {"memorization", "held_out_loss"}
        scores = found if is_self_score else found.data_values()
        quality = label_errors(scores.values if is_self_score else -scores.values, known, share=0.1)
        certain = "-" if value == "held_out_loss" else f"{scores.certain().mean():.1%}"
        figures = f"{quality.auroc:>7.3f} {quality.precision:>10.1%} {quality.recall:>8.1%} {certain:>14}"
        print(f"{value:<16} {campaign:<14} {figures}")


if __name__ == "__main__":
    main()
