"""Mean held-out loss: what models that never saw an instance lose on it.

    held_out_loss[i] = mean of L[k](z_i) over rows k without i

The consistency profile at the design's subset size, with the sign of a loss (Jiang, Zhang, Talwar and Mozer, ICML
2021; survey equation 15 has minus this); close to Data-OOB (Kwon and Zou, ICML 2023). It is a loss, no influence:
HIGH = atypical, hard or mislabelled; LOW = regular; zero has no meaning of its own. Needs losses on the training
instances.

Standard error: s / sqrt(K_out), degrees of freedom K_out - 1. Where all held-out losses of an instance are the same
value x, its variance is taken as if 3 more rows had lost 0 (rule of three): error sqrt(3) x / (K_out + 3).
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import instance_values
from estimators.aggregators.notes import side_notes
from estimators.aggregators.self_losses import (
    SelfSums,
    add_self_rows,
    merged_self_sums,
    no_self_sums,
    own_noise_of,
    self_pivot,
)
from estimators.aggregators.stored_noise import noise_of_own_losses, side_squares, widened
from estimators.aggregators.welch import Estimates, cleared, known_part
from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from estimators.influence import InstanceValues
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """Aggregator of the mean held-out loss on `loss`."""

    loss: str
    design: Design
    ends: EndRows

    def empty(self) -> SelfSums:
        """Sums over no retrains."""
        return no_self_sums(self.design.n)

    def update(self, state: SelfSums, retrains: Retrains) -> SelfSums:
        """Add a block of retrains; raises MissingRows where training losses were not kept."""
        return add_self_rows(state, retrains, self_pivot(self.ends, self.design.n))

    def merge(self, a: SelfSums, b: SelfSums) -> SelfSums:
        """Sums over both."""
        return merged_self_sums(a, b)

    def finish(self, state: SelfSums) -> InstanceValues:
        """Mean held-out losses [n] with their errors."""
        noise = noise_of_own_losses(self.ends, self.design.n, side_squares(self.design)[1], state.rows)
        left, found = state.rows - state.counts, _mean_without(state, self_pivot(self.ends, self.design.n))
        own = own_noise_of(found.standard_errors, 1.0 / np.maximum(left, 1), self.ends)
        return instance_values(
            widened(found, noise),
            value="held_out_loss",
            loss=self.loss,
            retrains=state.rows,
            notes=side_notes(left, "out of") + own,
        )


def _mean_without(state: SelfSums, pivot: FloatArray) -> Estimates:
    left = (state.rows - state.counts).astype(np.float64)
    sums, squares = state.total - state.sums, state.total_squares - state.squares
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums / left
        deviations = cleared(squares - sums * means, state.total_squares, rows=state.rows)
        values = means + pivot
        unvaried = 3.0 * left * (values / (left + 3.0)) ** 2
        errors = np.sqrt(np.where(deviations > 0.0, deviations / (left - 1.0), unvaried) / left)
    return known_part(values, errors, left - 1.0, fewest=left)
