"""Expected influence of groups from retrains on random subsets.

    value[A, j] = mean of L[k, j] over rows k that hold none of A  -  mean of L[k, j] over rows k that hold all of A

(Koh, Ang, Teo and Liang, NeurIPS 2019, for deletion from D; here over the design's subsets.) Rows that hold a part of
the group say nothing. Of rows that take each instance with probability t a share t^|A| holds all and (1-t)^|A| none, so
this is for small groups, or groups sampled whole. Standard error: Welch's, s_out^2 / K_out + s_in^2 / K_in, degrees of
freedom by Welch-Satterthwaite; a side that never varied takes the spread of all rows. NaN with an infinite error under
10 rows a side. State: 4 G n_test numbers.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.columns import with_mean
from estimators.aggregators.threads import one_blas_thread
from estimators.aggregators.welch import cleared, unvaried_or_variance
from estimators.arrays import FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.groups.group_values import GroupValues
from estimators.retrains import EndRows, Retrains

LEAST_ROWS = 10


@dataclass(frozen=True, slots=True)
class SideTotals:
    """counts [G], sums and squares [G, c] of x = loss - v(D) over the rows of one side."""

    counts: IntArray
    sums: FloatArray
    squares: FloatArray

    def __add__(self, other: "SideTotals") -> "SideTotals":
        """Over the rows of both."""
        return SideTotals(self.counts + other.counts, self.sums + other.sums, self.squares + other.squares)


@dataclass(frozen=True, slots=True)
class GroupSums:
    """inside, outside: rows that hold all and none of each group. total, total_squares [c], rows: over all rows."""

    inside: SideTotals
    outside: SideTotals
    total: FloatArray
    total_squares: FloatArray
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedGroupInfluence:
    """Aggregator on `loss`; codes [n], 0..G-1, the group of each instance; names [G]."""

    loss: str
    design: Design
    ends: EndRows
    codes: IntArray
    names: tuple[str, ...]

    def objection(self) -> str:
        """Why rows of the design do not do, or an empty text."""
        if self.design.log_size_law() is None or self.design.unit_rows > 1:
            return (
                f"group influence cannot be expected over {self.design.label}: it takes independent random subsets; "
                "run design bernoulli or uniform, or leave_m_out with the group's column"
            )
        return ""

    def empty(self) -> GroupSums:
        """Sums over no rows."""
        groups, columns = len(self.names), self.ends.full.shape[1] + 1
        none = SideTotals(np.zeros(groups, dtype=np.int64), np.zeros((groups, columns)), np.zeros((groups, columns)))
        return GroupSums(none, none, np.zeros(columns), np.zeros(columns), 0)

    def update(self, state: GroupSums, retrains: Retrains) -> GroupSums:
        """The sums with a further block of retrains."""
        x = with_mean(retrains.losses) - with_mean(self.ends.pivot()[None, :])[0]
        held = np.stack([retrains.members[:, self.codes == g].sum(axis=1) for g in range(len(self.names))], axis=1)
        return self.merge(
            state,
            GroupSums(
                inside=_side(held == self._sizes(), x),
                outside=_side(held == 0, x),
                total=x.sum(axis=0),
                total_squares=(x * x).sum(axis=0),
                rows=len(x),
            ),
        )

    def merge(self, a: GroupSums, b: GroupSums) -> GroupSums:
        """Sums over both."""
        return GroupSums(
            inside=a.inside + b.inside,
            outside=a.outside + b.outside,
            total=a.total + b.total,
            total_squares=a.total_squares + b.total_squares,
            rows=a.rows + b.rows,
        )

    def finish(self, state: GroupSums) -> GroupValues:
        """Influence of each group."""
        anywhere = unvaried_or_variance(state.total_squares, state.total, state.rows, rows=max(state.rows, 1))
        mean_in, a = _mean_and_variance(state.inside, anywhere, state.rows)
        mean_out, b = _mean_and_variance(state.outside, anywhere, state.rows)
        k, q = (side.counts[:, None].astype(np.float64) for side in (state.inside, state.outside))
        few = np.broadcast_to(np.minimum(k, q) < LEAST_ROWS, mean_in.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(a + b > 0.0, a / (a + b), 0.5)
            degrees = 1.0 / (share**2 / (k - 1.0) + (1.0 - share) ** 2 / (q - 1.0))
        lacking = int((np.minimum(state.inside.counts, state.outside.counts) < LEAST_ROWS).sum())
        return GroupValues(
            value="expected_group_influence",
            loss=self.loss,
            names=self.names,
            sizes=self._sizes(),
            values=np.where(few, np.nan, mean_out - mean_in),
            standard_errors=np.where(few, np.inf, np.sqrt(a + b)),
            degrees_of_freedom=np.where(few, 0.0, degrees),
            rows_with=state.inside.counts,
            rows_without=state.outside.counts,
            notes=_notes(lacking, len(self.names)),
        )

    def _sizes(self) -> IntArray:
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)


def _side(chosen: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", x: FloatArray) -> SideTotals:
    weights = chosen.astype(np.float64)
    with one_blas_thread():
        return SideTotals(chosen.sum(axis=0).astype(np.int64), weights.T @ x, weights.T @ (x * x))


def _mean_and_variance(side: SideTotals, anywhere: FloatArray, rows: int) -> tuple[FloatArray, FloatArray]:
    """Mean of a side and the variance of that mean, [G, c]."""
    counts = side.counts[:, None].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = side.sums / counts
        variances = cleared(side.squares - side.sums * means, side.squares, rows=max(rows, 1)) / (counts - 1.0)
        of_mean: FloatArray = np.where(variances > 0.0, variances, anywhere) / counts
    return means, of_mean


def _notes(lacking: int, groups: int) -> tuple[str, ...]:
    if not lacking:
        return ()
    seldom = f"{lacking:,} of {groups:,} groups were whole inside or whole outside fewer than {LEAST_ROWS} subsets"
    return (f"{seldom}: unknown; large groups need design leave_m_out with the group's column, or `data.group`",)
