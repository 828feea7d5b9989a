"""How well does each gradient method foresee what retraining does?

784-64-10 on 600 images of MNIST, 60 tests. Ground truth: 400 subsets of half of them, 4 seeds each, trained by
apportion; all gradient methods of one job are judged on the last 300 by `evaluate` (linear datamodeling score,
bootstrap error, the ceiling that the seeds' noise leaves), beside retraining values from the 100 before. Ideal TracIn
and TracIn of word embeddings have jobs of their own, group influence is judged by retrains without each of 30 groups,
variational TracIn by the anomalies that it finds. Prints one table, and with a file name draws the picture of
docs/gradients.md. The methods and their jobs stand in harness/faithful_jobs.py.

    python benchmarks/faithfulness.py [--small] [docs/images/gradient-faithfulness.png]

--small: 300 images, 200 subsets, 3 seeds, as in tests/orchestrator/test_gradient_faithfulness.py.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness.faithful_groups import anomalies, group_agreements
from harness.faithful_jobs import ERRORS, HELD_OUT, LARGE, SMALL, Scale, network_job, single_job, words_job
from harness.table import machine, print_table

from orchestrator import JobResult, load_job, run
from orchestrator.evaluation.evaluate import evaluate
from orchestrator.evaluation.record import Evaluation, Judged

Rows = list[tuple[object, ...]]


def by_score(found: Evaluation) -> list[Judged]:
    """Estimators with a score, best first."""
    known = [each for each in found.estimators if each.datamodeling.value is not None]
    return sorted(known, key=lambda each: -(each.datamodeling.value or 0.0))


def rows(found: Evaluation, model: str) -> Rows:
    """Score, error, share of the ceiling, whether above 0 by five errors, and than how many it is certainly better."""
    worse = Counter(each.better for each in found.differences)
    table: Rows = []
    for each in by_score(found):
        score, error = each.datamodeling.value or 0.0, each.datamodeling.standard_error or np.inf
        share = "" if found.ceiling is None else f"{score / found.ceiling:.0%}"
        table.append((each.name, model, *figures(score, error), share, worse[each.name]))
    return table


def figures(score: float, error: float, chance: float = 0.0) -> tuple[str, str, str]:
    """Score and error as texts, and whether it is above chance by five errors."""
    return f"{score:.3f}", f"{error:.3f}", "yes" if score - chance > ERRORS * error else "NO"


def other_rows(result: JobResult) -> Rows:
    """Groups by retrains without them, variational TracIn by anomalies."""
    table: Rows = [
        (name, "retrains without each group", *figures(each.score, each.standard_error), "", "")
        for name, each in group_agreements(result).items()
    ]
    found = anomalies()
    for name, each in (("VAE-TracIn", found.self_influence), ("TracInAD", found.anomaly_score)):
        table.append((name, "AUROC of anomalies", *figures(each.auroc, each.auroc_standard_error, 0.5), "", ""))
    return table


def judged(job: Callable[[Path, Scale], Path], folder: Path) -> tuple[JobResult, Evaluation]:
    """A job carried out, and what its methods are worth."""
    folder.mkdir()
    result = run(load_job(job(folder, SMALL if "--small" in sys.argv else LARGE)))
    return result, evaluate(result, share=HELD_OUT, campaign="halves")


def draw(found: Evaluation, path: Path) -> None:
    """Scores with two errors either side, the ceiling as a line."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - only for the picture

    shown = by_score(found)[::-1]
    figure, axes = plt.subplots(figsize=(7, 0.24 * len(shown) + 1))
    for place, each in enumerate(shown):
        colour = "#c2571a" if each.kind == "retraining" else "#1f5f8b"
        score, error = each.datamodeling.value or 0.0, each.datamodeling.standard_error or 0.0
        axes.errorbar(score, place, xerr=2 * error, fmt="o", markersize=4, color=colour, elinewidth=1)
    axes.set_yticks(range(len(shown)), [each.name.replace("_", " ") for each in shown], fontsize=8)
    axes.axvline(0, color="0.6", linewidth=0.8)
    if found.ceiling is not None:
        axes.axvline(found.ceiling, color="0.3", linestyle="--", linewidth=1)
        axes.text(found.ceiling, len(shown) - 0.3, "best possible", ha="right", fontsize=8, color="0.3")
    axes.set_xlabel("linear datamodeling score (bars: two bootstrap errors)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=140)


def main() -> None:
    """Train, judge, print, draw."""
    with tempfile.TemporaryDirectory() as name:
        result, found = judged(network_job, Path(name) / "network")
        table = rows(found, "network") + other_rows(result)
        table += rows(judged(single_job, Path(name) / "single")[1], "one image a step")
        table += rows(judged(words_job, Path(name) / "words")[1], "word embeddings")
    print(machine())
    print(
        f"{found.subsets} held-out subsets of {found.smallest} to {found.largest}, {found.replicates} seeds each; "
        f"best possible score {found.ceiling:.3f}, one half of the seeds against the other {found.halves:.3f}"
    )
    for note in found.notes:
        print(note)
    header = ("method", "judged on", "score", "error", "5 errors above chance", "of the best", "certainly better than")
    print_table(header, table)
    pictures = [word for word in sys.argv[1:] if word != "--small"]
    if pictures:
        draw(found, Path(pictures[0]))


if __name__ == "__main__":
    main()
