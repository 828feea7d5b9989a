"""How each value was computed: its row of the registry, in words."""

from dataclasses import dataclass

import numpy as np

from estimators.errors import EstimatorError
from estimators.influence import Influence, InstanceValues
from estimators.registry import value_method
from orchestrator.report.contents import ReportInput
from orchestrator.report.names import in_words
from orchestrator.report.phrases import count, loss_in_words, number

SIGN = (
    "An influence above zero means that the training instance lowers the loss on the test instance (a proponent); "
    "below zero, that it raises it (an opponent). A data value is the influence on the mean loss over the test set."
)
CERTAINTY = (
    "An interval (±) is a 95 % Student t interval from the value's own standard error over retrains. A sign is called "
    "certain by the Benjamini-Hochberg procedure at a false discovery rate of 5 %, taken over all training instances "
    "for each test instance, and over all training instances for data values: of the signs marked certain, at most "
    "1 in 20 is expected to be wrong. A sign that is not marked may be either."
)


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One value on one loss: what it was computed from, and how precise it is."""

    method: str
    loss: str
    campaign: str
    retrains: str
    standard_error: str
    unknown: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MethodText:
    """One method: what it means, its formula and its source."""

    title: str
    meaning: str
    formula: str
    source: str


def method_texts(contents: ReportInput) -> list[MethodText]:
    """Each method of the report once."""
    names = dict.fromkeys(result.value for result, _ in _results(contents))
    return [_method(name) for name in names]


def value_rows(contents: ReportInput) -> list[ValueRow]:
    """Every value on every loss, shown above or not."""
    return [_row(result, campaign) for result, campaign in _results(contents)]


def _results(contents: ReportInput) -> list[tuple[Influence | InstanceValues, str]]:
    return [*contents.named_influences(), *contents.named_instance_values()]


def _method(name: str) -> MethodText:
    try:
        method = value_method(name)
    except EstimatorError:
        return MethodText(in_words(name), "", "", "")
    return MethodText(
        method.title, method.meaning, method.formula, ", ".join(filter(None, (method.paper, method.equation)))
    )


def _row(result: Influence | InstanceValues, campaign: str) -> ValueRow:
    errors = result.standard_errors
    known = np.isfinite(errors) & np.isfinite(result.values)
    return ValueRow(
        method=in_words(result.value),
        loss=loss_in_words(result.loss),
        campaign=campaign,
        retrains=count(result.retrains),
        standard_error=number(float(errors[known].mean())) if known.any() else number(float("nan")),
        unknown=count(int(known.size - np.count_nonzero(known))),
        notes=result.notes,
    )
