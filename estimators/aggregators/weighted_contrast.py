"""A semivalue as the contrast of two weighted means (Hajek 1971): any size law, any size probabilities, one pass.

    mu_in  = sum_k a_k M_ki L_k / sum_k a_k M_ki,    mu_out = sum_k b_k (1 - M_ki) L_k / sum_k b_k (1 - M_ki)
    value[i] = (1 - p[0]) mu_out + p[0] L(empty) - (1 - p[n-1]) mu_in - p[n-1] L(D)

with a = n p[s-1] / (s pi[s]) and b = n p[s] / ((n-s) pi[s]) by the size s of row k (`size_weights`); rows of size 0 and
n are left to the end rows. It serves weights of few sizes, such as expected leave-one-out at one size; for Shapley and
Banzhaf values `adaptive_semivalue` errs far less on the same rows.

Standard error: sqrt of the sum over both sides of sum w^2 (L - mu)^2 / (sum w)^2 times k / (k - 1), k the effective
rows (sum w)^2 / sum w^2; degrees of freedom by Welch and Satterthwaite with these k. Units of one row only. A learner
that depends on its seed adds the variance of D's replicates for the end rows. Fewer than 2 effective rows on a side:
no error. State: 4 n (n_test + 1) numbers, and as many again for the other side by subtraction from totals.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.columns import column_blocks, with_mean
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.leave_one_out import v_full
from estimators.aggregators.notes import own_noise, two_sided_notes
from estimators.aggregators.size_weights import row_weights_of
from estimators.aggregators.stored_noise import noise_of_tests, semivalue_squares, widened
from estimators.aggregators.threads import one_blas_thread
from estimators.aggregators.welch import Estimates, cleared, known_part
from estimators.arrays import AnyArray, FloatArray
from estimators.designs.protocol import Design
from estimators.errors import WrongDesign
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class SideOfContrast:
    """Sums over rows of one side, with weights w and x = loss - pivot. w, w2, count: [n, 1]; the others [n, c].

    wx: of w x; w2x: of w^2 x; w2xx: of w^2 x^2.
    """

    count: FloatArray
    w: FloatArray
    w2: FloatArray
    wx: FloatArray
    w2x: FloatArray
    w2xx: FloatArray

    def plus(self, other: "SideOfContrast") -> "SideOfContrast":
        """The sums over the rows of both."""
        return SideOfContrast(*(a + b for a, b in zip(self.arrays(), other.arrays(), strict=True)))

    def arrays(self) -> tuple[FloatArray, ...]:
        """The sums in their order."""
        return self.count, self.w, self.w2, self.wx, self.w2x, self.w2xx

    def part(self, columns: slice) -> "SideOfContrast":
        """The sums of some columns."""
        narrow = (each[:, columns] for each in (self.wx, self.w2x, self.w2xx))
        return SideOfContrast(self.count, self.w, self.w2, *narrow)


@dataclass(frozen=True, slots=True)
class ContrastState:
    """rows seen, and the sides with and without each instance."""

    rows: int
    inside: SideOfContrast
    outside: SideOfContrast


@dataclass(frozen=True, slots=True)
class WeightedContrast:
    """Aggregator of the semivalue with size probabilities p [n] on `loss`."""

    value: str
    loss: str
    design: Design
    ends: EndRows
    p: FloatArray

    def empty(self) -> ContrastState:
        """Sums over no rows."""
        n, columns = self.design.n, self.ends.full.shape[1] + 1
        one, many = np.zeros((n, 1)), np.zeros((n, columns))
        side = SideOfContrast(one, one, one, many, many, many)
        return ContrastState(0, side, side)

    def update(self, state: ContrastState, retrains: Retrains) -> ContrastState:
        """Add a block of retrains."""
        law = self.design.log_size_law()
        if law is None:
            raise WrongDesign(f"{self.value} cannot be computed from {self.design.label}: it has no law of sizes")
        weights = row_weights_of(self.p, law)
        sizes = retrains.members.sum(axis=1)
        drawn = (sizes > 0) & (sizes < self.design.n)
        x = with_mean(retrains.losses) - self._pivot()
        members = retrains.members.astype(np.float64)
        a, b = np.where(drawn, weights.inside[sizes], 0.0), np.where(drawn, weights.outside[sizes], 0.0)
        with one_blas_thread():
            inside, outside = _side(members, a, x), _side(1.0 - members, b, x)
        return ContrastState(state.rows + len(x), state.inside.plus(inside), state.outside.plus(outside))

    def merge(self, a: ContrastState, b: ContrastState) -> ContrastState:
        """Sums over both."""
        return ContrastState(a.rows + b.rows, a.inside.plus(b.inside), a.outside.plus(b.outside))

    def finish(self, state: ContrastState) -> Influence:
        """Influence [n, n_test]."""
        n, columns = state.inside.wx.shape
        counts = state.inside.count[:, 0].astype(np.int64)
        rows = counts + state.outside.count[:, 0].astype(np.int64)
        noise = noise_of_tests(self.ends, semivalue_squares(self.p), state.rows)
        return assembled_influence(
            lambda part: widened(self._estimates(state, part), noise[part]),
            value=self.value,
            loss=self.loss,
            shape=(n, columns - 1),
            retrains=state.rows,
            notes=two_sided_notes(counts, int(rows.max(initial=0))),
            per_test=own_noise(self.ends.full, _spread(state.inside)[:-1], self.ends),
            statistics=KeptStatistics(f"{self.value} from {self.design.label} and {v_full(self.ends)}", self, state),
        )

    def _pivot(self) -> FloatArray:
        pivot: FloatArray = with_mean(self.ends.pivot()[None, :])[0]
        return pivot

    def _estimates(self, state: ContrastState, columns: slice) -> Estimates:
        mean_in, spread_in, rows_in = _mean(state.inside.part(columns))
        mean_out, spread_out, rows_out = _mean(state.outside.part(columns))
        full, empty = self.p[-1], self.p[0]
        at_empty = (with_mean(self.ends.empty[None, :]) - self._pivot())[:, columns]
        values = _times(1.0 - empty, mean_out) + empty * at_empty - _times(1.0 - full, mean_in)
        a, b = _times((1.0 - full) ** 2, spread_in), _times((1.0 - empty) ** 2, spread_out)
        ends = self._end_variance(columns)
        with np.errstate(divide="ignore", invalid="ignore"):
            degrees = (a + b) ** 2 / (a**2 / np.maximum(rows_in - 1, 0) + b**2 / np.maximum(rows_out - 1, 0))
        degrees = np.where(a + b > 0.0, degrees, np.maximum(rows_in + rows_out - 2.0, 1.0))
        needed = [side.count for side, share in ((state.inside, full), (state.outside, empty)) if share < 1.0]
        return known_part(values, np.sqrt(a + b + ends), degrees, fewest=np.minimum.reduce(needed))

    def _end_variance(self, columns: slice) -> FloatArray | float:
        if self.ends.deterministic or not (self.p[-1] or self.p[0]):
            return 0.0
        full = with_mean(self.ends.full)
        noise = full.var(axis=0, ddof=1) if len(full) > 1 else np.full(full.shape[1], np.nan)
        return np.asarray(noise[columns] * (self.p[-1] ** 2 / len(full) + self.p[0] ** 2))


def _side(members: FloatArray, weights: FloatArray, x: FloatArray) -> SideOfContrast:
    squares = weights * weights
    counted = np.stack([weights > 0.0, weights, squares], axis=1).astype(np.float64)
    count, w, w2 = (each[:, None] for each in (members.T @ counted).T)
    wx, w2x, w2xx = (np.empty((members.shape[1], x.shape[1])) for _ in range(3))
    for columns in column_blocks(x.shape[1]):
        y = x[:, columns]
        both = [weights[:, None] * y, squares[:, None] * y, squares[:, None] * (y * y)]
        product = members.T @ np.concatenate(both, axis=1)
        wx[:, columns], w2x[:, columns], w2xx[:, columns] = np.split(product, 3, axis=1)
    return SideOfContrast(count, w, w2, wx, w2x, w2xx)


def _mean(side: SideOfContrast) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The weighted mean [n, c], its variance, and the effective rows [n, 1]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = side.wx / side.w
        rows = side.w**2 / side.w2
        deviations = side.w2xx - 2.0 * mean * side.w2x + mean * mean * side.w2
        spread = cleared(deviations, side.w2xx + mean * mean * side.w2, rows=int(side.count.max(initial=0)))
        return mean, spread / side.w**2 * rows / (rows - 1.0), rows


def _spread(side: SideOfContrast) -> FloatArray:
    """The variance of losses [c] over rows, those that weigh most counted most, on average over instances."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: FloatArray = (side.w2xx / side.w2 - (side.w2x / side.w2) ** 2).mean(axis=0)
    return found


def _times(factor: float, array: AnyArray) -> FloatArray:
    """Factor times array, 0 where the factor is 0 even if the array is unknown there."""
    return np.zeros_like(array) if factor == 0.0 else np.asarray(factor * array)
