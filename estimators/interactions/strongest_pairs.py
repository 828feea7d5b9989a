"""The strongest interactions among all pairs, on the mean test loss: two matrix products a block, n^2 numbers of state.

Residuals r = v - g are those of the linear fit that never saw the row's fold; for every pair sum_k w_k r_k and
sum_k w_k^2 r_k^2 follow from products of members with members, since a row's weight depends on its size and on how
many of the pair it holds: both, one or none. Pairs are ranked by |sum| / sqrt(sum of squares), their size in standard
errors; where all subsets are there and values are exact, by |sum|.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.size_weights import inclusion_of
from estimators.aggregators.sparse_fit import cross_fit_of, effects_of, no_fit
from estimators.aggregators.sparse_sums import SparseSums, folds_of_rows, merged_sparse_sums, no_sums, sums_of_rows
from estimators.aggregators.threads import one_blas_thread
from estimators.arrays import FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError
from estimators.interactions.indices import InteractionIndex, law_of, pair_weights
from estimators.interactions.listed_pairs import PairFeatures, end_terms
from estimators.methods.laws import lists_all_subsets
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.lasso import CrossFit

MOST_INSTANCES = 20_000


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over rows [n, n], symmetric: of w r, and of (w r)^2."""

    sums: FloatArray
    squares: FloatArray


@dataclass(frozen=True, slots=True)
class StrongestPairs:
    """Aggregator that finds the `count` strongest pairs [count, 2] on the mean loss; two passes."""

    index: InteractionIndex
    design: Design
    ends: EndRows
    count: int

    @property
    def _features(self) -> PairFeatures:
        n, law = self.design.n, law_of(self.design)
        weights = pair_weights(self.index.sizes(n), law)
        return PairFeatures(np.zeros((0, 2), dtype=np.int64), inclusion_of(law), weights)

    def empty(self) -> SparseSums:
        """Sums over no rows; raises EstimatorError where all pairs are too many."""
        if self.design.n > MOST_INSTANCES:
            raise EstimatorError(
                f"all pairs of {self.design.n:,} instances are too many to compare (at most of {MOST_INSTANCES:,}): "
                "name the pairs"
            )
        return no_sums(self.design.n, 0, 1)

    def update(self, state: SparseSums, retrains: Retrains) -> SparseSums:
        """The sums with a further block of retrains."""
        return merged_sparse_sums(state, sums_of_rows(retrains, self.effects(retrains), self._features))

    def merge(self, a: SparseSums, b: SparseSums) -> SparseSums:
        """Sums over both."""
        return merged_sparse_sums(a, b)

    def finish(self, state: SparseSums) -> IntArray:
        """No pair is known after one pass, [0, 2]."""
        del state
        return np.zeros((0, 2), dtype=np.int64)

    def second(self, state: SparseSums) -> "PairSearch":
        """The second pass."""
        fit = no_fit(state) if lists_all_subsets(self.design) else cross_fit_of(state)
        ends = end_terms(self.index, self.design, self.ends, fit)[:, 0]
        return PairSearch(self, fit, self._features, float(state.fit.counts @ ends))

    def effects(self, retrains: Retrains) -> FloatArray:
        """Minus the mean loss, less that of D, [K, 1]."""
        return effects_of(retrains, self.ends)[:, -1:]


@dataclass(frozen=True, slots=True)
class PairSearch:
    """The second pass of a search. ends: what the end rows add to every pair's sum."""

    first: StrongestPairs
    fit: CrossFit
    features: PairFeatures
    ends: float

    def empty(self) -> PairSums:
        """Sums over no rows."""
        n = self.first.design.n
        return PairSums(np.zeros((n, n)), np.zeros((n, n)))

    def update(self, state: PairSums, retrains: Retrains) -> PairSums:
        """The sums with a further block of retrains, the same rows as in the first pass."""
        x, v = self.features.x(retrains.members), self.first.effects(retrains)[:, 0]
        folds, _ = folds_of_rows(retrains)
        r = v - self.fit.intercept[folds, 0] - np.einsum("kn,kn->k", x, self.fit.beta[folds, :, 0])
        sizes = retrains.members.sum(axis=1)
        weights = self.features.weights
        by_count = [each[sizes] for each in (weights.none, weights.one, weights.both)]
        members = retrains.members.astype(np.float64)
        sums = _by_pair(members, [w * r for w in by_count])
        squares = _by_pair(members, [(w * r) ** 2 for w in by_count])
        return PairSums(state.sums + sums, state.squares + squares)

    def merge(self, a: PairSums, b: PairSums) -> PairSums:
        """Sums over both."""
        return PairSums(a.sums + b.sums, a.squares + b.squares)

    def finish(self, state: PairSums) -> IntArray:
        """The strongest pairs [count, 2], first < second, strongest first."""
        n = self.first.design.n
        first, second = np.triu_indices(n, 1)
        squares = state.squares[first, second]
        strength = np.abs(state.sums[first, second] + self.ends)
        if not lists_all_subsets(self.first.design):
            with np.errstate(divide="ignore", invalid="ignore"):
                strength = np.where(squares > 0.0, strength / np.sqrt(squares), 0.0)
        order = np.argsort(-strength, kind="stable")[: self.first.count]
        return np.stack([first[order], second[order]], axis=1).astype(np.int64)


def _by_pair(members: FloatArray, terms: list[FloatArray]) -> FloatArray:
    """Sums over rows [n, n] of terms[number of the pair in the row]: none + one more where i is in, where j is in.

    none + (one - none) (m_i + m_j) + (both - 2 one + none) m_i m_j
    """
    none, one, both = terms
    with one_blas_thread():
        single: FloatArray = members.T @ (one - none)
        joint: FloatArray = members.T @ ((both - 2.0 * one + none)[:, None] * members)
    total: FloatArray = none.sum() + single[:, None] + single[None, :] + joint
    return total
