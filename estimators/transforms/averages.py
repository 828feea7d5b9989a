"""Averages of losses over tests: over all of them, by class, by group."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, FloatArray, IntArray
from estimators.errors import EstimatorError

OVER = ("each", "test", "class", "group")
"""What a value may be averaged over; `each` = not at all."""


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of losses over the tests of each group. codes: [n_test], the group of each test, None = no average.

    names: of the groups, which become the columns.
    """

    over: str
    codes: IntArray | None = None
    names: tuple[str, ...] = ()

    def __call__(self, losses: AnyArray) -> AnyArray:
        """Losses [K, n_test] as means [K, groups], float64; the same bits whatever rows stand beside one."""
        if self.codes is None:
            return losses
        if len(self.codes) != losses.shape[1]:
            raise EstimatorError(
                f"an average over {self.over} is of {len(self.codes)} tests, but there are {losses.shape[1]} losses"
            )
        columns = [np.ascontiguousarray(losses[:, self.codes == g]) for g in range(len(self.names))]
        means: FloatArray = np.stack([column.mean(axis=1, dtype=np.float64) for column in columns], axis=1)
        return means

    def note(self) -> tuple[str, ...]:
        """What the columns are, for people."""
        if self.codes is None or self.over == "test":
            return ()
        return (f"columns are means over each {self.over} of tests: {', '.join(self.names)}",)


EACH = Average("each")


def average_over(over: str, n_test: int, classes: tuple[IntArray, tuple[str, ...]] | None) -> Average:
    """The average over all tests, or over the groups given (codes [n_test] and names), those that occur.

    Raises EstimatorError for another word, and where there are no groups of that kind.
    """
    if over not in OVER:
        raise EstimatorError(f"an average over {over!r}: write one of {', '.join(OVER)}")
    if over == "each":
        return EACH
    if over == "test":
        return Average(over, np.zeros(n_test, dtype=np.int64), ("all tests",))
    if classes is None:
        mend = "for regression there are none" if over == "class" else "name a column: `data.test_group`"
        raise EstimatorError(f"an average over each {over}: the tests have no {over}; {mend}")
    present, codes = np.unique(classes[0], return_inverse=True)
    return Average(over, codes.astype(np.int64), tuple(classes[1][code] for code in present.tolist()))
