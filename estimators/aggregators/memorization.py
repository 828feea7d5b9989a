"""Memorization: how much higher an instance's own loss is when it was not trained on.

    memorization[i] = mean of L[k](z_i) over rows k without i  -  mean of L[k](z_i) over rows k with i

The diagonal of Downsampling or Banzhaf with the training set as test set (Feldman, STOC 2020; Feldman and Zhang,
NeurIPS 2020; survey equation 4). High = the label can be had by heart only: mislabelled, atypical or rare. Needs
losses on the training instances. Under `uniform` the bias against the leave-one-out form is of order 1/n,
memorization of order 1. State: 4 n numbers. Standard error: Welch's, see `welch`.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import instance_values
from estimators.aggregators.notes import two_sided_notes
from estimators.aggregators.self_losses import (
    SelfSums,
    add_self_rows,
    merged_self_sums,
    no_self_sums,
    own_noise_of,
    self_pivot,
)
from estimators.aggregators.stored_noise import contrast_squares, noise_of_own_losses, widened
from estimators.aggregators.welch import out_minus_in
from estimators.designs.protocol import Design
from estimators.influence import InstanceValues
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class Memorization:
    """Aggregator of memorization on `loss`."""

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
        """Memorization [n] with Welch's errors."""
        noise = noise_of_own_losses(self.ends, self.design.n, contrast_squares(self.design), state.rows)
        kept, found = state.counts, out_minus_in(state.sides())
        each = 1.0 / np.maximum(kept, 1) + 1.0 / np.maximum(state.rows - kept, 1)
        own = own_noise_of(found.standard_errors, each, self.ends)
        return instance_values(
            widened(found, noise),
            value="memorization",
            loss=self.loss,
            retrains=state.rows,
            notes=two_sided_notes(kept, state.rows) + own,
        )
