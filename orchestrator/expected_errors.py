"""The standard errors that a campaign's budget buys, from the losses of a pilot of its own draws."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from estimators.arrays import AnyArray, FloatArray
from estimators.designs.protocol import Design
from estimators.methods.value_label import asked_label
from estimators.pilot_fields import Pilot, fitted_pilot
from estimators.planning import (
    Predicted,
    PredictedErrors,
    imagined_errors,
    mean_errors,
    spread_doubt,
)
from estimators.registry import ValueMethod, value_method
from estimators.retrains import Retrains, joined
from orchestrator.loss_view import LossSource, LossView, loss_view


@dataclass(frozen=True, slots=True)
class ExpectedError:
    """The standard error that a budget buys, in the loss's unit.

    pair: the mean over pairs (instance, test instance). instance: of a data value (the mean test loss), or of a value
    that is one number an instance. unvaried: share of instances whose loss was the same in all of the pilot, frequent
    with zero-one losses: what varies too rarely for the pilot to see is missing from the prediction.
    """

    value: str
    loss: str
    pair: Predicted
    instance: Predicted
    unvaried: float = 0.0

    @property
    def settled_by(self) -> float:
        """About how many retrains a pilot needs for both to be within a quarter; NaN where one is not known."""
        return max(self.pair.settled_by, self.instance.settled_by)


def expected_errors(
    source: LossSource, design: Design, values: tuple[str, ...], *, draws: int, pilot: int, train_losses: bool
) -> Iterator[ExpectedError]:
    """Of each value that the design gives, on each loss kept or on the function asked for, after `draws` draws.

    pilot: how many draws the source has.
    """
    fits: dict[str, Pilot] = {}
    for label in values:
        method, asked = value_method(label), asked_label(label)
        if method.from_walks or method.accepts(design, draws) or (method.needs_train_losses and not train_losses):
            continue
        for loss in source.losses if asked.of is None else (None,):
            view = loss_view(source, loss=loss, of=asked.of, over=asked.over)
            rows = joined(list(view.retrains(0, pilot, with_train=method.needs_train_losses)))
            if len(rows.members) < 2:  # units whose retrains failed are left out
                continue
            found = _expected(view, method, design, rows, draws=draws, fits=fits)
            unvaried = float(np.mean(_deviation(_own(rows, method)) == 0.0))
            yield ExpectedError(asked.value, view.label, found.pair, found.instance, unvaried)


def _own(rows: Retrains, method: ValueMethod) -> AnyArray:
    """The losses that a value is of: those on training instances for values of an instance's own."""
    return rows.train_losses if method.needs_train_losses and rows.train_losses is not None else rows.losses


def _expected(
    view: LossView, method: ValueMethod, design: Design, rows: Retrains, *, draws: int, fits: dict[str, Pilot]
) -> PredictedErrors:
    ends = view.ends(with_train=method.needs_train_losses)
    if method.per_instance:
        make = partial(method.make, loss=view.label, ends=ends, design=design)
        return mean_errors(make, rows, units=draws // design.unit_rows)
    if design.draw_count is None or design.log_size_law() is not None:
        if view.label not in fits:
            fits[view.label] = fitted_pilot(rows, ends)
        made = partial(method.make, loss=view.label, design=design)
        return imagined_errors(lambda some: made(ends=some), fits[view.label], design, draws=draws)
    noise = np.zeros((1, rows.losses.shape[1])) if ends.deterministic else ends.full  # all that a listed design errs by
    pair, instance = (
        Predicted(
            method.standard_error(_mean_deviation(each), n=design.n, retrains=draws, design=design),
            spread_doubt(each),
            len(each),
        )
        for each in (noise, noise.mean(axis=1, keepdims=True))
    )
    return PredictedErrors(pair, instance)


def _mean_deviation(losses: AnyArray) -> float:
    return float(_deviation(losses).mean()) if len(losses) > 1 else 0.0


def _deviation(losses: AnyArray) -> FloatArray:
    deviation: FloatArray = losses.astype(np.float64).std(axis=0, ddof=1)
    return deviation
