"""What is judged: values on each test instance, wherever they come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.influence import Influence
from estimators.registry import value_method
from orchestrator.errors import JobError
from orchestrator.evaluation.held_out import HeldOut, seen_subsets
from orchestrator.gradients.reading import stored_values
from orchestrator.gradients.values import GradientValues
from orchestrator.results import JobResult
from orchestrator.wording import counted

Kind = Literal["retraining", "gradient", "file"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Values [n, n_test], positive = lowers the loss; NaN = unknown. None for scores of an instance's own loss.

    suspicion: [n], high = suspicious. source: the campaign, trajectory or file it comes from. draws: of a campaign.
    seen: packed subsets that it was computed from. scale: whether it estimates differences of losses, or ranks.
    reference: others are correlated with it (leave-one-out, proximal Bregman responses).
    """

    name: str
    kind: Kind
    source: str
    values: FloatArray | None
    suspicion: FloatArray
    draws: int = 0
    seen: frozenset[bytes] = frozenset()
    scale: Literal["loss", "ranking"] = "loss"
    notes: tuple[str, ...] = ()
    reference: bool = False

    @property
    def worth(self) -> FloatArray:
        """Data values [n], high = worth keeping, NaN = unknown; of files, whose suspicion may be another, their means.

        Only where `values` are there.
        """
        if self.kind != "file" or self.values is None:
            return -self.suspicion
        known = np.isfinite(self.values)
        sums: FloatArray = np.where(known, self.values, 0.0).sum(axis=1)
        return np.where(known.any(axis=1), sums / np.maximum(known.sum(axis=1), 1), np.nan)


def retraining_estimates(result: JobResult, held: HeldOut, values: tuple[str, ...]) -> tuple[list[Estimate], list[str]]:
    """Each value from the first campaign that permits it, without the draws held out; and why others are not there."""
    found, reasons = [], []
    for name in values:
        try:
            found.append(_estimate(result, held, name))
        except EstimatorError as error:
            reasons.append(f"{name}: {error}")
    return found, reasons


def gradient_estimates(result: JobResult, held: HeldOut) -> tuple[list[Estimate], list[str]]:
    """The values of the job's gradient methods that stand in its store, and why others are not there."""
    found: list[Estimate] = []
    reasons = []
    for spec in result.job.gradients:
        try:
            values = stored_values(result.job, result.loaded, spec)
        except JobError as error:
            reasons.append(f"{spec.label}: {error.problems[0].what}")
            continue
        found += _of_gradients(values, held.loss)
    return found, reasons


def _of_gradients(found: GradientValues, loss: str) -> Iterator[Estimate]:
    """The matrix or the data values of one entry, and beside them its influence of instances on their own losses."""
    spec, data = found.spec, found.mean
    source = spec.recorded or (f"models of {spec.campaign}" if spec.campaign else "the final model")
    other = () if found.loss == loss else (f"its values are of {found.loss}, judged by {loss}",)
    if data is not None:
        values = None if found.influence is None else found.influence.values
        yield Estimate(
            name=spec.label,
            kind="gradient",
            source=source,
            values=values,
            suspicion=-data.values,
            scale=found.method.scale,
            reference=spec.method == "pbrf",
            notes=(*(() if values is None else unknown_note(values)), *other, *found.warnings),
        )
    if found.self_influence is not None:
        yield Estimate(found.self_influence.value, "gradient", source, None, found.self_influence.values)


def _estimate(result: JobResult, held: HeldOut, name: str) -> Estimate:
    campaign = result.campaign_for(name)
    draws = held.draws if campaign is held.campaign else campaign.plan.draws
    reason = value_method(name).accepts(campaign.plan.design, draws)
    if reason:
        raise EstimatorError(f"from the {draws:,} draws that are not held out: {reason}")
    values = campaign.values(name, loss=held.loss, draws=draws)
    if not isinstance(values, Influence):
        suspicion = values.values if value_method(name).needs_train_losses else -values.values
        return Estimate(name, "retraining", campaign.name, None, suspicion, draws=draws)
    if values.values.shape[1] != held.losses.shape[1]:
        raise EstimatorError("it is averaged over tests, and is judged on each of them: leave `over` out")
    return Estimate(
        name=name,
        kind="retraining",
        source=campaign.name,
        values=values.values,
        suspicion=-values.data_values().values,
        draws=draws,
        seen=seen_subsets(campaign, draws),
        reference=name == "leave_one_out",
        notes=unknown_note(values.values),
    )


def unknown_note(values: FloatArray) -> tuple[str, ...]:
    """What has to be said of values that are not known."""
    unknown = np.isnan(values)
    instances = int(unknown.all(axis=1).sum())
    pairs = int(unknown.sum()) - instances * values.shape[1]
    notes = []
    if instances:
        notes.append(f"{counted(instances, 'training instance')} of unknown value are left out of the sums")
    if pairs:
        notes.append(f"{counted(pairs, 'pair')} of a training and a test instance, of unknown value, are left out")
    return tuple(notes)
