"""Influence: values [n, n_test] with standard errors, and the same averaged over the test set.

Sign: positive = the instance lowers the test loss (proponent), negative = it raises it (opponent).
Axes are (train, test); `transposed()` gives the (test, train) form that some other tools use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pandas as pd

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from estimators.confidence import benjamini_hochberg, half_widths, p_values
from estimators.errors import EstimatorError
from estimators.notebook import shown_in_notebook

AXES = ("train", "test")


@dataclass(frozen=True, slots=True)
class InstanceValues:
    """One value for each training instance.

    value: the method's name. loss: the loss's name. values, standard_errors, degrees_of_freedom: [n] float64
    in the loss's unit; NaN with an infinite error where an instance was never (or always) in a subset.
    """

    value: str
    loss: str
    values: FloatArray
    standard_errors: FloatArray
    degrees_of_freedom: FloatArray
    train_index: IntArray
    retrains: int = 0
    notes: tuple[str, ...] = ()

    def certain(self, level: float = 0.05) -> BoolArray:
        """Instances [n] whose sign is certain (Benjamini-Hochberg at `level`)."""
        return benjamini_hochberg(p_values(self.values, self.standard_errors, self.degrees_of_freedom), level)

    def half_widths(self, confidence: float = 0.95) -> FloatArray:
        """Half widths [n] of t intervals."""
        return half_widths(self.standard_errors, self.degrees_of_freedom, confidence)

    def to_pandas(self) -> pd.DataFrame:
        """Columns train_index, value (the method's name), loss, data_value, standard_error."""
        return pd.DataFrame(
            {
                "train_index": self.train_index,
                "value": self.value,
                "loss": self.loss,
                "data_value": self.values,
                "standard_error": self.standard_errors,
            }
        )

    def _repr_html_(self) -> str:
        """Notebooks show the highest and the lowest values, with what is certain."""
        heading = f"{self.value} on {self.loss}, {len(self.values):,} training instances, {self.retrains:,} retrains"
        frame = self.to_pandas()[["train_index", "data_value", "standard_error"]].assign(certain=self.certain())
        return shown_in_notebook(heading, frame.sort_values("data_value", ascending=False, kind="stable"), self.notes)


class Statistics(Protocol):
    """The sufficient statistics behind an influence, which merge with those of other retrains."""

    def merged(self, other: "Statistics") -> "Influence":
        """The influence from both sets of retrains."""
        ...


@dataclass(frozen=True, slots=True)
class Influence:
    """Influence of n training instances on n_test test instances.

    value: the method's name. loss: the loss's name. values, standard_errors, degrees_of_freedom: [n, n_test]
    float64, in the loss's unit. mean: the same for the mean loss over the test set, with its own standard
    error (the columns share retrains, so it does not follow from theirs). sources: the stretches of plan rows
    it was computed from; two influences add up only where these are disjoint. per_test: figures of each test instance
    [n_test], by name, that some of the notes sum up.
    """

    value: str
    loss: str
    values: FloatArray
    standard_errors: FloatArray
    degrees_of_freedom: FloatArray
    mean: InstanceValues
    train_index: IntArray
    test_index: IntArray
    retrains: int = 0
    sources: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    per_test: Mapping[str, AnyArray] = field(default_factory=dict, repr=False, compare=False)
    statistics: "Statistics | None" = field(default=None, repr=False, compare=False)

    def data_values(self) -> InstanceValues:
        """Data values [n]: influence on the mean loss over the test set, with its own standard error."""
        return self.mean

    def transposed(self) -> FloatArray:
        """Values as [n_test, n]."""
        return self.values.T

    def certain(self, level: float = 0.05) -> BoolArray:
        """Pairs [n, n_test] whose sign is certain, Benjamini-Hochberg at `level` for each test instance."""
        return benjamini_hochberg(p_values(self.values, self.standard_errors, self.degrees_of_freedom), level)

    def proponents(self, j: int, count: int = 10) -> pd.DataFrame:
        """The `count` training instances with the highest influence on test instance j (its column), strongest first.

        Columns train_index, influence, standard_error, half_width (95 %), certain.
        """
        return self._strongest(j, count, -self.values[:, j])

    def opponents(self, j: int, count: int = 10) -> pd.DataFrame:
        """The `count` training instances with the lowest influence on test instance j, strongest first."""
        return self._strongest(j, count, self.values[:, j])

    def _strongest(self, j: int, count: int, ascending: FloatArray) -> pd.DataFrame:
        known = np.flatnonzero(np.isfinite(ascending))
        top = known[np.argsort(ascending[known], kind="stable")[:count]]
        errors, df = self.standard_errors[:, j], self.degrees_of_freedom[:, j]
        certain = benjamini_hochberg(p_values(self.values[:, j], errors, df))
        return pd.DataFrame(
            {
                "train_index": self.train_index[top],
                "influence": self.values[top, j],
                "standard_error": errors[top],
                "half_width": half_widths(errors[top], df[top]),
                "certain": certain[top],
            }
        )

    def to_pandas(self) -> pd.DataFrame:
        """Long form: train_index, test_index, value (the method's name), loss, influence, standard_error."""
        n, n_test = self.values.shape
        return pd.DataFrame(
            {
                "train_index": np.repeat(self.train_index, n_test),
                "test_index": np.tile(self.test_index, n),
                "value": self.value,
                "loss": self.loss,
                "influence": self.values.ravel(),
                "standard_error": self.standard_errors.ravel(),
            }
        )

    def _repr_html_(self) -> str:
        """Notebooks show the data values' ends, below the shape of the whole."""
        n, n_test = self.values.shape
        return f"<p>influence [{n:,} training, {n_test:,} test]; data values:</p>\n{self.mean._repr_html_()}"

    def __add__(self, other: "Influence") -> "Influence":
        """The influence from both sets of retrains, as if they had been aggregated together.

        Raises EstimatorError where the two share retrains, differ in method or loss, or carry no statistics.
        """
        if (self.value, self.loss) != (other.value, other.loss):
            raise EstimatorError(
                f"{self.value} on {self.loss} and {other.value} on {other.loss} do not add up: "
                "add influences of one method and one loss"
            )
        shared = self.sources & other.sources
        if shared:
            raise EstimatorError(f"both influences were computed from {min(shared)}: adding would count it twice")
        if self.statistics is None or other.statistics is None:
            raise EstimatorError(
                f"this {self.value} influence carries no sums to add: it was read from a file or worked out on Ray; "
                f'ask for both again in one process, result.values("{self.value}") without a pool, or for '
                f'campaign="pooled"'
            )
        return replace(self.statistics.merged(other.statistics), sources=self.sources | other.sources)
