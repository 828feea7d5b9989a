"""How often a design's subsets miss a class altogether, known before anything is trained."""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln

from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from orchestrator.jobs.job import Job
from workers.dataset import Dataset

WORTH_A_NOTE = 0.01


def class_notes(job: Job, data: Dataset, designs: Sequence[Design | None]) -> list[str]:
    """A note for each campaign of which more than 1 % of the subsets are expected to lack some class."""
    if data.task != "classification" or data.groups is not None:
        return []
    counts = np.bincount(data.train_labels, minlength=len(data.classes))
    notes = []
    for index, design in enumerate(designs):
        law = None if design is None else design.log_size_law()
        if law is None:
            continue
        chances = [probability_of_none(law, int(count)) if count else 0.0 for count in counts]
        rarest = int(np.argmax(chances))
        if chances[rarest] > WORTH_A_NOTE:
            notes.append(
                f"{job.origin.where('campaigns', index)}: about {chances[rarest]:.0%} of the subsets hold none of the "
                f"{counts[rarest]} instances of class `{data.classes[rarest]}`; larger subsets hold it more often"
            )
    return notes


def probability_of_none(log_size_law: FloatArray, count: int) -> float:
    """Pr that a subset holds none of `count` given instances, where subsets of one size are equally likely.

    log_size_law: log Pr(|S| = s), s = 0..n. Equals sum_s Pr(s) C(n - count, s) / C(n, s).
    """
    n = len(log_size_law) - 1
    sizes = np.arange(n - count + 1)
    log_ratio = gammaln(n - count + 1) - gammaln(n - count - sizes + 1) - gammaln(n + 1) + gammaln(n - sizes + 1)
    return float(np.exp(log_size_law[: n - count + 1] + log_ratio).sum())
