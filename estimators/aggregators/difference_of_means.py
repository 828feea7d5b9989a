"""Downsampling, and Banzhaf with maximum sample reuse: the mean loss without an instance less that with it.

    influence[i, j] = mean of L[k, j] over rows k without i  -  mean of L[k, j] over rows k with i

Which value this is depends on the design alone.

- `uniform` of size m: Downsampling (Feldman and Zhang, NeurIPS 2020; survey equation 9). It is the effect of instance
  i *in place of a random other one*, since both means are over subsets of the same size. So the values of a test
  instance sum to 0 over the training set in expectation, and they are not the expected leave-one-out effect: the
  difference, the mean effect of one more instance, is of the same order 1/n.
- `bernoulli` with p = 1/2: the Banzhaf value by maximum sample reuse (Wang and Jia, AISTATS 2023; survey equation
  27), which is the effect of adding i to a subset in which each other instance is with probability 1/2. The values
  do not sum to v(D) - v(empty).

Cost: K retrains, 4 K n n_test operations, state of 2 n (n_test + 1) numbers. Standard error: Welch's, see
`welch`; of a pair about 2 s / sqrt(K) at p = 1/2, free of n.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.columns import with_mean
from estimators.aggregators.contrast_sums import ContrastSums, add_rows, empty_sums, merged_sums
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.notes import UNVARIED, own_noise, two_sided_notes
from estimators.aggregators.stored_noise import contrast_squares, noise_of_tests, widened
from estimators.aggregators.welch import Estimates, SideSums, out_minus_in, unvaried_or_variance
from estimators.designs.protocol import Design
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class DifferenceOfMeans:
    """Aggregator of `value` on `loss` from the rows of a random design; v(D) out of `ends` is the pivot."""

    value: str
    loss: str
    design: Design
    ends: EndRows

    def empty(self) -> ContrastSums:
        """Sums over no retrains."""
        return empty_sums(self.design.n, with_mean(self.ends.pivot()[None, :])[0])

    def update(self, state: ContrastSums, retrains: Retrains) -> ContrastSums:
        """Add a block of retrains, in place."""
        return add_rows(state, retrains.members, with_mean(retrains.losses))

    def merge(self, a: ContrastSums, b: ContrastSums) -> ContrastSums:
        """Sums over both."""
        return merged_sums(a, b)

    def finish(self, state: ContrastSums) -> Influence:
        """Influence [n, n_test] with Welch's errors."""
        state.lent = True
        n, columns = state.sums.shape
        spread = unvaried_or_variance(state.total_squares, state.total, state.rows, rows=state.rows)
        constant = spread == 0.0
        noise = noise_of_tests(self.ends, contrast_squares(self.design), state.rows)
        return assembled_influence(
            lambda part: widened(_estimates(state, part), noise[part]),
            value=self.value,
            loss=self.loss,
            shape=(n, columns - 1),
            retrains=state.rows,
            notes=two_sided_notes(state.counts, state.rows),
            per_test={UNVARIED: constant[:-1], **own_noise(self.ends.full, spread[:-1], self.ends)},
            statistics=KeptStatistics(f"{self.value} from {self.design.label}", self, state),
        )


def _estimates(state: ContrastSums, columns: slice) -> Estimates:
    return out_minus_in(
        SideSums(
            rows=state.rows,
            counts=np.expand_dims(state.counts, 1),
            sums=state.sums[:, columns],
            squares=state.squares[:, columns],
            total=state.total[columns],
            total_squares=state.total_squares[columns],
        )
    )
