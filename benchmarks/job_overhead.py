"""What does the main job cost beside its own retrains: its start, the workers' time that no retrain had, its end?

Runs the job of examples/label_errors in a fresh folder and prints where the time went, from the figures that the
job's own MLflow run keeps. On a machine that others use too only the shares compare.

    python benchmarks/job_overhead.py [RETRAINS]      # of each campaign; default: the job file's
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.table import machine, print_table

from orchestrator import load_job
from orchestrator.results import open_tracker

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "label_errors"


def carried_out(folder: Path, retrains: str | None) -> tuple[dict[str, float], str]:
    """Figures of one run, and the line that it printed."""
    folder.mkdir()
    for path in EXAMPLE.iterdir():
        if path.suffix in {".py", ".yaml"}:
            shutil.copy(path, folder)
    job = folder / "job.yaml"
    if retrains is not None:
        job.write_text(job.read_text().replace("retrains: 1000", f"retrains: {retrains}"))
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", str(job)], check=True, capture_output=True, text=True
    )
    tracker = open_tracker(load_job(job))
    parent = tracker.find_job_run()
    assert parent is not None
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("time: ")]
    return tracker.latest_metrics(parent.run_id), line


def main(retrains: str | None) -> None:
    """Run once and print."""
    print(machine("ray", "mlflow"))
    with tempfile.TemporaryDirectory() as folder:
        figures, line = carried_out(Path(folder, "job"), retrains)
    print(line)
    print_table(
        ["part", "figure", "to reach"],
        [
            ["start, to the first chunk sent", f"{figures['seconds_start']:.1f} s", "<= 20 s"],
            ["first chunk sent to last received", f"{figures['seconds_training']:.1f} s", ""],
            ["of the workers' time in it, no retrain's", f"{figures['share_lost']:.1%}", "<= 5 %"],
            ["values and report", f"{figures['seconds_values_and_report']:.1f} s", "<= 15 s"],
        ],
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
