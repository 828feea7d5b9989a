"""What one entry of a job's `gradients` gave, with what its solver said of itself."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from estimators.arrays import FloatArray
from estimators.gradient.methods import GradientMethod
from estimators.gradient.registry import gradient_method
from estimators.gradient.top_scores import TopScores
from estimators.influence import Influence, InstanceValues
from workers.gradient_specs import GradientSpec

NORMAL = 1e9
"""Degrees of freedom of an error from so many terms that a normal law serves."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Arrays as they were put together. values: [n, n_test] or None; variances: over random projections."""

    values: FloatArray | None = None
    mean: FloatArray | None = None
    variances: FloatArray | None = None
    mean_variances: FloatArray | None = None
    own: FloatArray | None = None
    proponents: TopScores | None = None
    opponents: TopScores | None = None
    sums: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class GradientValues:
    """One entry's values, each part None where the entry does not give it.

    influence: [n, n_test]; mean: data values [n]; self_influence: on an instance's own loss [n]; proponents, opponents:
    [k, n_test], strongest first; groups: sums over the groups [G, n_test], named by group_names. facts: damping,
    residual, stationarity and the like. warnings: what a reader must not miss; they are among the notes as well.
    """

    spec: GradientSpec
    loss: str
    facts: Mapping[str, float]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    influence: Influence | None
    mean: InstanceValues | None
    self_influence: InstanceValues | None
    proponents: TopScores | None
    opponents: TopScores | None
    groups: FloatArray | None
    group_names: tuple[str, ...] = ()

    @property
    def method(self) -> GradientMethod:
        """Its row of the registry."""
        return gradient_method(self.spec.method)


def gradient_values(
    spec: GradientSpec,
    loss: str,
    parts: Parts,
    facts: Mapping[str, float],
    notes: tuple[str, ...],
    warnings: tuple[str, ...],
    group_names: tuple[str, ...] = (),
) -> GradientValues:
    """The parts under the entry's name, as the records that all of apportion's values are."""
    said = (*notes, *(f"warning: {warning}" for warning in warnings))
    mean = parts.mean
    if parts.values is not None:
        mean = parts.values.mean(axis=1)
    data = None if mean is None else _instances(spec.label, loss, mean, said, parts.mean_variances)
    of_own = spec.label if gradient_method(spec.method).gives == "self" else f"{spec.label} self-influence"
    own = None if parts.own is None else _instances(of_own, loss, parts.own, said)
    return GradientValues(
        spec=spec,
        loss=loss,
        facts=facts,
        notes=said,
        warnings=warnings,
        influence=None if data is None else _influence(spec.label, loss, parts, data),
        mean=data,
        self_influence=own,
        proponents=parts.proponents,
        opponents=parts.opponents,
        groups=parts.sums,
        group_names=group_names,
    )


def _instances(
    label: str, loss: str, values: FloatArray, notes: tuple[str, ...], variances: FloatArray | None = None
) -> InstanceValues:
    unknown = np.full(len(values), np.nan)
    return InstanceValues(
        value=label,
        loss=loss,
        values=values,
        standard_errors=unknown if variances is None else np.sqrt(variances),
        degrees_of_freedom=unknown if variances is None else np.full(len(values), NORMAL),
        train_index=np.arange(len(values)),
        notes=notes,
    )


def _influence(label: str, loss: str, parts: Parts, data: InstanceValues) -> Influence | None:
    values, variances = parts.values, parts.variances
    if values is None:
        return None
    unknown = np.full(values.shape, np.nan)
    return Influence(
        value=label,
        loss=loss,
        values=values,
        standard_errors=unknown if variances is None else np.sqrt(variances),
        degrees_of_freedom=unknown if variances is None else np.full(values.shape, NORMAL),
        mean=data,
        train_index=np.arange(values.shape[0]),
        test_index=np.arange(values.shape[1]),
        notes=data.notes,
    )
