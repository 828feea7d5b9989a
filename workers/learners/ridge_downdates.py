"""Ridge regressions on D without a few instances, from D's own: Sherman, Morrison & Woodbury.

With A = V'V + alpha P over D, V the rows sqrt(w_i) (x_i, 1), b = A^-1 V'y, H = V A^-1 V' the hat matrix and e = y - V b
(y weighted likewise), taking out the instances R gives b_S = b - A^-1 V_R' (I - H_RR)^-1 e_R, for one instance
b - A^-1 v_i e_i / (1 - h_i) (Hager, SIAM Review 1989; Cook & Weisberg 1982, section 2.2).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from workers.learners.ridge_columns import CentredColumns, solved

MOST_REMOVED: Final = 8
MOST_UNKNOWNS: Final = 1024
LEAST_LEFT: Final = 1e-2
"""The least eigenvalue of I - H_RR: below it the updated solution would lose figures, and is solved for anew."""


@dataclass(frozen=True, slots=True)
class Downdates:
    """D's solution and what an instance's removal needs.

    present: [n] rows of positive weight. rows: V [n, u]. gains: V A^-1 [n, u]. residuals: e [n]. solution: b [u].
    """

    data: CentredColumns
    present: BoolArray
    rows: FloatArray
    gains: FloatArray
    residuals: FloatArray
    solution: FloatArray

    def serve(self, lengths: IntArray) -> BoolArray:
        """Whether this way is for subsets of so many members [K]: all but a few of D's."""
        removed = int(self.present.sum()) - lengths
        few: BoolArray = removed <= min(MOST_REMOVED, len(self.solution) // 4 + 1)
        return few & (len(self.rows) > 0)

    def solutions(self, members: BoolArray) -> FloatArray:
        """Coefficients and intercepts [K, u] of subsets [K, n] of `data`; NaN where figures would be lost."""
        found = np.empty((len(members), len(self.solution)))
        removed = self.present > members
        lengths = np.count_nonzero(removed, axis=1)
        for length in np.unique(lengths).tolist():
            places = np.flatnonzero(lengths == length)
            here = np.flatnonzero(removed[places]) % members.shape[1]
            found[places] = self._without(here.reshape(len(places), length))
        return self.data.uncentred(found)

    def _without(self, removed: IntArray) -> FloatArray:
        """Solutions [A, u] without instances [A, c]."""
        if not removed.shape[1]:
            return np.tile(self.solution, (len(removed), 1))
        gains, unit = self.gains[removed], np.eye(removed.shape[1])
        left = unit - np.matmul(gains, self.rows[removed].transpose(0, 2, 1))
        safe = np.linalg.eigvalsh(left)[:, 0] > LEAST_LEFT
        shares = np.linalg.solve(np.where(safe[:, None, None], left, unit), self.residuals[removed][:, :, None])
        found: FloatArray = self.solution - np.matmul(shares.transpose(0, 2, 1), gains)[:, 0]
        found[~safe] = np.nan
        return found


def downdates(data: CentredColumns) -> Downdates:
    """D's own regression, if it has one that keeps the figures; else one that serves no subset."""
    present = data.weights > 0.0
    n, unknowns = len(data.columns), len(data.penalty)
    nothing = Downdates(data, present, data.columns[:0, :-1], data.columns[:0, :-1], data.columns[:0, 0], data.penalty)
    if not data.finite or unknowns > min(n, MOST_UNKNOWNS):
        return nothing
    weighted = data.columns * np.sqrt(data.weights)[:, None]
    rows, targets = np.ascontiguousarray(weighted[:, :-1]), weighted[:, -1]
    gram = rows.T @ rows + np.diag(data.penalty)
    solutions, inverses = solved(gram[None], (rows.T @ targets)[None])
    if np.isnan(solutions).any():
        return nothing
    return Downdates(data, present, rows, rows @ inverses[0], targets - rows @ solutions[0], solutions[0])
