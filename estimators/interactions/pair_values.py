"""Interactions of pairs with their errors."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.confidence import benjamini_hochberg, half_widths, p_values
from estimators.influence import InstanceValues


@dataclass(frozen=True, slots=True)
class PairValues:
    """Interactions of P pairs on n_test test instances; > 0 = together they lower the loss by more than the sum.

    pairs: [P, 2] training instances. values, standard_errors, degrees_of_freedom: [P, n_test] float64, in the loss's
    unit. mean: the same [P] for the mean loss over the test set, whose train_index numbers the pairs.
    compared: of how many pairs these are the strongest (P itself where they were asked for by name).
    """

    value: str
    loss: str
    pairs: IntArray
    values: FloatArray
    standard_errors: FloatArray
    degrees_of_freedom: FloatArray
    mean: InstanceValues
    retrains: int
    compared: int
    notes: tuple[str, ...] = ()

    def certain(self, level: float = 0.05) -> BoolArray:
        """Pairs [P] whose interaction on the mean loss has a certain sign, Benjamini-Hochberg over all compared."""
        p = np.ones(max(self.compared, len(self.pairs)))
        p[: len(self.pairs)] = np.nan_to_num(
            p_values(self.mean.values, self.mean.standard_errors, self.mean.degrees_of_freedom), nan=1.0
        )
        return benjamini_hochberg(p, level)[: len(self.pairs)]

    def to_pandas(self) -> pd.DataFrame:
        """Columns first, second, interaction (on the mean loss), standard_error, half_width (95 %), certain."""
        mean = self.mean
        return pd.DataFrame(
            {
                "first": self.pairs[:, 0],
                "second": self.pairs[:, 1],
                "interaction": mean.values,
                "standard_error": mean.standard_errors,
                "half_width": half_widths(mean.standard_errors, mean.degrees_of_freedom),
                "certain": self.certain(),
            }
        )
