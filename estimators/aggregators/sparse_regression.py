"""Sparse regression of the loss on membership, made honest: AME and linear datamodels.

A LASSO with a penalty chosen for each test instance by cross-validation gives coefficients beta, fitted for each of
four folds of the rows on the other three. They are shrunk, so they alone would be no estimate; what they leave is
averaged with weights that the design's law makes known:

    value[i] = beta[i] + mean over rows of w[k, i] (v[k] - b - x[k] beta),    v = -loss

(debiased LASSO with a known precision, Zhang and Zhang, JRSSB 2014, cross-fitted as in Chernozhukov et al. 2018). It is
unbiased whatever beta is, since beta never saw the rows that it is corrected on.

- `ame`: the average marginal effect, the semivalue of a mixture of Bernoulli laws (Lin et al., ICML 2022);
  w = n p[s-1] / (s pi[s]) with the instance, -n p[s] / ((n-s) pi[s]) without.
- `datamodel`: the linear regression of the loss on membership (Ilyas et al., ICML 2022), w = +/- from the design's own
  covariance. On subsets of one size it is (n-1)/n times the Downsampling influence and sums to 0; on Bernoulli(t) rows
  it is the weighted Banzhaf value.

Standard error: the spread of beta[i] + w (v - b - x beta) over units, by a second pass over the rows; degrees of
freedom units - 1. Errors from sums alone (a campaign that is still running) take residuals and weights as independent.
State: 8 n (n + n_test) numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.notes import KEPT, own_noise, two_sided_notes
from estimators.aggregators.sparse_fit import corrections_of, cross_fit_of, effects_of, residual_variance
from estimators.aggregators.sparse_spread import SparseSpread
from estimators.aggregators.sparse_sums import MemberFeatures, SparseSums, merged_sparse_sums, no_sums, sums_of_rows
from estimators.aggregators.stored_noise import noise_of_tests, weighted_squares, widened
from estimators.aggregators.welch import Estimates, known_part
from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.lasso import CrossFit

MOST_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True)
class SparseRegression:
    """Aggregator of `value` on `loss`. centred: subtract the mean over instances, which rows of one size do not see."""

    value: str
    loss: str
    design: Design
    ends: EndRows
    features: MemberFeatures
    centred: bool

    def empty(self) -> SparseSums:
        """Sums over no rows; raises EstimatorError where they would take more than 4 GiB."""
        n, columns = self.design.n, self.ends.full.shape[1] + 1
        needed = 64 * n * (n + columns)
        if needed > MOST_BYTES:
            raise EstimatorError(
                f"{self.value} for n = {n:,} and {columns - 1:,} test instances would take {needed / 2**30:.0f} GiB: "
                "ask for banzhaf or downsampling, or for fewer test instances"
            )
        return no_sums(n, n, columns)

    def update(self, state: SparseSums, retrains: Retrains) -> SparseSums:
        """The sums with a further block of retrains."""
        return merged_sparse_sums(state, sums_of_rows(retrains, self.effects(retrains), self.features))

    def merge(self, a: SparseSums, b: SparseSums) -> SparseSums:
        """Sums over both."""
        return merged_sparse_sums(a, b)

    def finish(self, state: SparseSums) -> Influence:
        """Influence [n, n_test]; errors take residuals and weights as independent."""
        fit = cross_fit_of(state)
        residual = residual_variance(state, fit)
        mean_square = state.ww.sum(axis=0)[:, None] / max(state.rows, 1)  # [n, 1]
        spread = np.sqrt(mean_square * residual / max(state.rows, 1))
        return self.result(state, fit, lambda columns: spread[:, columns])

    def second(self, state: SparseSums) -> SparseSpread[Influence]:
        """The second pass, which takes the spread over units."""
        return SparseSpread(self, state, cross_fit_of(state))

    def effects(self, retrains: Retrains) -> FloatArray:
        """Minus the losses, less those of D, [K, n_test + 1]."""
        return effects_of(retrains, self.ends)

    def parts(self, state: SparseSums, fit: CrossFit) -> tuple[FloatArray, FloatArray]:
        """By fold: coefficients [F, n, c], and sums over rows of w times the residual [F, n, c]."""
        beta = fit.beta - fit.beta.mean(axis=1, keepdims=True) if self.centred else fit.beta
        return beta, corrections_of(state, fit)

    def result(self, state: SparseSums, fit: CrossFit, errors: Callable[[slice], FloatArray]) -> Influence:
        """The influence of these sums and this fit, with errors [n, columns] of a slice of columns."""
        beta, corrections = self.parts(state, fit)
        rows = max(state.rows, 1)
        values = (np.einsum("f,fnc->nc", state.fit.counts, beta) + corrections.sum(axis=0)) / rows
        n, columns = values.shape
        fewest = np.minimum(state.members, state.rows - state.members)[:, None]
        degrees = float(max(state.units - 1, 0))
        noise = noise_of_tests(
            self.ends, weighted_squares(self.design, self.features.inside, self.features.outside), state.rows
        )

        spread = state.fit.vv.sum(axis=0) / rows - (state.fit.v.sum(axis=0) / rows) ** 2

        def estimates(part: slice) -> Estimates:
            shape = values[:, part].shape
            found = known_part(values[:, part], errors(part), np.full(shape, degrees), fewest=fewest)
            return widened(found, noise[part])

        return assembled_influence(
            estimates,
            value=self.value,
            loss=self.loss,
            shape=(n, columns - 1),
            retrains=state.rows,
            notes=two_sided_notes(state.members, state.rows),
            per_test={KEPT: fit.kept[:-1], **own_noise(self.ends.full, spread[:-1], self.ends)},
            statistics=KeptStatistics(f"{self.value} from {self.design.label}", self, state),
        )
