"""Semivalues by a surrogate and a correction: the default for Shapley, Beta Shapley and Banzhaf values.

A Gaussian process over subsets (`estimators.surrogates`) is fitted to the losses: effects of single instances, a
smooth function of the size and interactions of all orders, each as strong as the marginal likelihood of the rows says,
so that it takes up what the rows can carry and no more. Its own semivalue g_i is known in closed form. What it leaves
is averaged:

    value[i] = g_i + sum over the subsets S seen of omega_i(S) (r(S) + (1 / f(S) - 1) e(S))

with omega the semivalue's weight of v(S), f(S) the probability of S to be among the draws, r its residual and e its
leave-one-out residual. A subset that is surely drawn counts as it is; for others the residual of a process that did not
see it stands for those not drawn, so the surrogate biases nothing: the estimate is that of Horvitz and Thompson (1952)
with a cross-fitted control variate (regression-adjusted maximum sample reuse; Witter et al. 2025, with another model).
Rows in pairs of complements are folded into half their difference, all that a symmetric semivalue depends on
(Covert and Lee, AISTATS 2021). v(D) and v(empty) enter exactly where the semivalue weights them.

Standard error: the spread over units of (1 / f - 1) omega e, times 1 / (1 - f) for what repeats tell of a finite
number of subsets (a learner that depends on its seed: of omega e / f), times what choosing the scales on the same rows
hides, (k + 5) / (k - 5) for k rows (Akaike 1969; pairs: 1), and the noise of the end rows. Degrees of freedom
(Satterthwaite 1946): (sum over units of v)^2 / sum of k v^2 / 2, at most units - 1, with v the variance that the
surrogate expects a unit to add and k the kurtosis of the residuals: where a few units weigh most, the error is known no
better than they tell. Of a learner that depends on its seed they are units - 1.

Units are taken 1,024 rows at a time, in plan order, and their estimates averaged: memory and time per row do not grow.
"""

from dataclasses import dataclass, replace

import numpy as np

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.block_sums import BlockSums, no_block_sums
from estimators.aggregators.columns import guide_tests, with_mean
from estimators.aggregators.kept_rows import KeptRows, both, kept, no_rows, split
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.leave_one_out import v_full
from estimators.aggregators.notes import UNVARIED, own_noise, two_sided_notes
from estimators.aggregators.size_weights import row_weights_of
from estimators.aggregators.surrogate_block import add_block
from estimators.aggregators.welch import Estimates, known_part, unvaried_or_variance
from estimators.arrays import FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.errors import WrongDesign
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.kernels import SemivalueLaw

ROWS_AT_A_TIME = 1024
FEW_DEGREES = 30.0
"""Degrees of freedom below which a note says how few there are."""


@dataclass(slots=True)
class AdaptiveState:
    """Rows that wait, and sums over the blocks that are done, None before the first.

    rows, counts [n], total, total_squares [c]: over all rows, of members and of losses less the pivot. lent: a result
    holds this object, so the next block is added to a copy of `done`.
    """

    waiting: KeptRows
    done: BlockSums | None
    rows: int
    counts: IntArray
    total: FloatArray
    total_squares: FloatArray
    lent: bool = False


@dataclass(frozen=True, slots=True)
class AdaptiveSemivalue:
    """Aggregator of the semivalue `law` on `loss` from rows of any design with a law of sizes that reaches it.

    guides: columns by which the surrogate's scales are decided for all, the mean over tests as the last; none given:
    three of the tests, evenly spaced, and their mean.
    """

    value: str
    loss: str
    design: Design
    ends: EndRows
    law: SemivalueLaw
    guides: tuple[int, ...] = ()

    def empty(self) -> AdaptiveState:
        """No rows."""
        n, columns = self.design.n, self.ends.full.shape[1] + 1
        return AdaptiveState(
            no_rows(n, columns), None, 0, np.zeros(n, dtype=np.int64), np.zeros(columns), np.zeros(columns)
        )

    def update(self, state: AdaptiveState, retrains: Retrains) -> AdaptiveState:
        """The state with a further block of retrains; whole units only."""
        x = with_mean(retrains.losses) - self._pivot()
        return self._settled(
            replace(
                state,
                waiting=both(state.waiting, kept(retrains, x)),
                rows=state.rows + len(x),
                counts=state.counts + retrains.members.sum(axis=0),
                total=state.total + x.sum(axis=0),
                total_squares=state.total_squares + (x * x).sum(axis=0),
            )
        )

    def merge(self, a: AdaptiveState, b: AdaptiveState) -> AdaptiveState:
        """The state of both."""
        return self._settled(
            AdaptiveState(
                waiting=both(a.waiting, b.waiting),
                done=_sum(a.done, b.done),
                rows=a.rows + b.rows,
                counts=a.counts + b.counts,
                total=a.total + b.total,
                total_squares=a.total_squares + b.total_squares,
                lent=a.done is None or b.done is None,
            )
        )

    def finish(self, state: AdaptiveState) -> Influence:
        """Influence [n, n_test]."""
        state.lent = True
        n, columns = len(state.counts), len(state.total)
        done = state.done if state.waiting.unit_count < 2 else self._with_block(state, state.waiting)
        spread = unvaried_or_variance(state.total_squares, state.total, state.rows, rows=state.rows)
        constant = spread == 0.0
        return assembled_influence(
            lambda part: self._estimates(state, done, constant, part),
            value=self.value,
            loss=self.loss,
            shape=(n, columns - 1),
            retrains=state.rows,
            notes=two_sided_notes(state.counts, state.rows) + self._few_note(done),
            per_test={UNVARIED: constant[:-1], **own_noise(self.ends.full, spread[:-1], self.ends)},
            statistics=KeptStatistics(f"{self.value} from {self.design.label} and {v_full(self.ends)}", self, state),
        )

    def _few_note(self, done: BlockSums | None) -> tuple[str, ...]:
        fewest = FEW_DEGREES if done is None else float(done.degrees(told=self.ends.deterministic).min())
        if fewest >= FEW_DEGREES:
            return ()
        return (f"few rows carry most of the weight: some errors are told by {fewest:.0f} rows' worth of residuals",)

    def _guides(self) -> tuple[int, ...]:
        n_test = self.ends.full.shape[1]
        return self.guides or (*guide_tests(n_test).tolist(), n_test)

    def _pivot(self) -> FloatArray:
        pivot: FloatArray = with_mean(self.ends.pivot()[None, :])[0]
        return pivot

    def _settled(self, state: AdaptiveState) -> AdaptiveState:
        """The state with whole blocks taken out of the rows that wait."""
        units = max(2, ROWS_AT_A_TIME // self.design.unit_rows)
        while state.waiting.unit_count >= units:
            block, rest = split(state.waiting, units)
            state = replace(state, done=self._with_block(state, block), waiting=rest, lent=False)
        return state

    def _with_block(self, state: AdaptiveState, block: KeptRows) -> BlockSums:
        """What is done, and a further block: in place, unless a result holds it."""
        law = self.design.log_size_law()
        if law is None:
            raise WrongDesign(f"{self.value} cannot be computed from {self.design.label}: it has no law of sizes")
        sums = state.done
        if sums is None:
            sums = no_block_sums(len(state.counts), len(state.total))
        elif state.lent:
            sums = sums.copy()
        weights = row_weights_of(self.law.p, law)
        add_block(sums, block, self.law, weights, self.ends, self._pivot(), self._guides())
        return sums

    def _estimates(
        self, state: AdaptiveState, done: BlockSums | None, constant: FloatArray, columns: slice
    ) -> Estimates:
        shape = len(state.counts), len(state.total[columns])
        if done is None:
            return Estimates(np.full(shape, np.nan), np.full(shape, np.inf), np.zeros(shape))
        still = constant[columns]
        values = np.where(still, 0.0, (done.values[:, columns] + done.shift[columns]) / done.units)
        errors = np.where(still, 0.0, np.sqrt(done.variances[:, columns]) / done.units)
        fewest = np.minimum(state.counts, state.rows - state.counts)[:, None]
        degrees = np.broadcast_to(done.degrees(told=self.ends.deterministic)[:, None], shape)
        return known_part(values, errors, degrees, fewest=fewest)


def _sum(a: BlockSums | None, b: BlockSums | None) -> BlockSums | None:
    if a is None or b is None:
        return b if a is None else a
    return a.plus(b)
