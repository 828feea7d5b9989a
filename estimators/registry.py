"""The table of values: every method that losses in the store can answer, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from estimators.designs.entry import DesignEntry
from estimators.designs.making import DESIGNS, design_entry
from estimators.methods import (
    banzhaf_estimators,
    consistency,
    downsampling,
    leave_one_out,
    memorization,
    regressions,
    semivalues,
    size_values,
    walks,
)
from estimators.methods.value_label import parsed_label
from estimators.methods.value_method import ValueMethod
from estimators.naming import entry_named

FAMILIES = (
    leave_one_out,
    downsampling,
    semivalues,
    banzhaf_estimators,
    size_values,
    memorization,
    consistency,
    regressions,
    walks,
)
"""Modules of `estimators.methods`, each with its `ROWS`."""

VALUES: Mapping[str, ValueMethod] = MappingProxyType({row.name: row for family in FAMILIES for row in family.ROWS})


def value_method(label: str) -> ValueMethod:
    """The value of that name, with options where the label gives some: `beta_shapley(alpha=4, beta=1)`.

    Raises UnknownName with the nearest names, EstimatorError where an option is not taken or not permitted.
    """
    name, options = parsed_label(label)
    return entry_named(name, VALUES, kind="value").with_options(options)


__all__ = ["DESIGNS", "VALUES", "DesignEntry", "ValueMethod", "design_entry", "value_method"]
