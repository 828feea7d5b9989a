"""Influence of groups with its errors, one row a group."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.confidence import benjamini_hochberg, half_widths, p_values


@dataclass(frozen=True, slots=True)
class GroupValues:
    """Influence of G groups on n_test test instances; > 0 = the group lowers the test loss. Not divided by its size.

    names, sizes: [G]. values, standard_errors, degrees_of_freedom: [G, n_test + 1] float64 in the loss's unit, the last
    column the mean loss over the test set. rows_with, rows_without: [G] retrains on either side.
    """

    value: str
    loss: str
    names: tuple[str, ...]
    sizes: IntArray
    values: FloatArray
    standard_errors: FloatArray
    degrees_of_freedom: FloatArray
    rows_with: IntArray
    rows_without: IntArray
    notes: tuple[str, ...] = ()

    def certain(self, level: float = 0.05) -> BoolArray:
        """Groups [G] whose influence on the mean loss has a certain sign (Benjamini-Hochberg)."""
        last = (each[:, -1] for each in (self.values, self.standard_errors, self.degrees_of_freedom))
        return benjamini_hochberg(p_values(*last), level)

    def to_pandas(self) -> pd.DataFrame:
        """Columns group, size, influence (on the mean loss), standard_error, half_width (95 %), certain, retrains."""
        errors, degrees = self.standard_errors[:, -1], self.degrees_of_freedom[:, -1]
        return pd.DataFrame(
            {
                "group": list(self.names),
                "size": self.sizes,
                "influence": self.values[:, -1],
                "standard_error": errors,
                "half_width": np.where(np.isfinite(errors), half_widths(errors, degrees), errors),
                "certain": self.certain(),
                "retrains_with": self.rows_with,
                "retrains_without": self.rows_without,
            }
        )
