"""One question answered: what works on one test instance, or what one training instance does."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import AnyArray, BoolArray, FloatArray
from estimators.confidence import benjamini_hochberg, half_widths, p_values
from estimators.evaluation import retrains_to_certain_sign
from estimators.influence import Influence
from orchestrator.errors import JobError
from orchestrator.report.names import in_words
from orchestrator.report.phrases import clean, count, interval, loss_in_words, number, percent, shorten
from orchestrator.results import JobResult
from orchestrator.wording import did_you_mean, shown

MOST_RETRAINS_SAID = 10_000_000
LEVEL = 0.05
"""False discovery rate at which signs are called certain."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """heading, then facts, then two tables (proponents, opponents) with columns in words, then closing sentences."""

    heading: str
    facts: tuple[str, ...]
    proponents: pd.DataFrame
    opponents: pd.DataFrame
    closing: tuple[str, ...]


def position_of(given: str, names: tuple[str, ...], size: int, *, what: str) -> int:
    """The position that a person means by a number or a name; raises JobError where there is none."""
    if given in names:
        return names.index(given)
    if given.isdecimal() and int(given) < size:
        return int(given)
    named = [name for place, name in enumerate(names[:10_000]) if name != str(place)]
    by_name = f" or its name; {did_you_mean(given, named)}".rstrip("; ") if named else ""
    raise JobError(
        f"no {what} instance {shown(given)}: there are {size:,}", mend=f"give its position, 0 to {size - 1}{by_name}"
    )


def explain_test(result: JobResult, influence: Influence, j: int, *, count_shown: int) -> Explanation:
    """The training instances that lower and raise the loss of test instance j most. influence: [n, n_test]."""
    data = result.loaded.dataset
    names, labels = result.train_names, _train_labels(result)
    column = (influence.values[:, j], influence.standard_errors[:, j], influence.degrees_of_freedom[:, j])
    sides = _sides(column, influence.retrains, names, labels, count_shown=count_shown, what="training instance")
    name = result.loaded.test_names[j] if j < len(result.loaded.test_names) else str(j)
    return Explanation(
        heading=f"test instance {_titled(j, name)}, label {_label(result, data.test_labels[j])}",
        facts=(_method_words(influence), *_test_loss(result, influence, j)),
        proponents=sides[0],
        opponents=sides[1],
        closing=_closing(column, influence),
    )


def explain_train(result: JobResult, influence: Influence, i: int, *, count_shown: int) -> Explanation:
    """The test instances whose loss training instance i lowers and raises most, and its data value."""
    row = (influence.values[i], influence.standard_errors[i], influence.degrees_of_freedom[i])
    n_test = influence.values.shape[1]
    names = result.loaded.test_names or tuple(str(j) for j in range(n_test))
    labels = [_label(result, label) for label in result.loaded.dataset.test_labels]
    sides = _sides(row, influence.retrains, names, labels, count_shown=count_shown, what="test instance")
    mean = influence.data_values()
    half = float(mean.half_widths()[i])
    certain = mean.certain()
    more = _more(mean.values, mean.standard_errors, mean.retrains, certain)
    worth = interval(float(mean.values[i]), half) if influence.retrains else number(float(mean.values[i]))
    sign = "certain" if certain[i] else _more_words(float(more[i]))
    about = f", {sign}" if influence.retrains else ""
    facts = (_method_words(influence), f"data value, the influence on the mean test loss: {worth}{about}")
    return Explanation(
        heading=f"training instance {_titled(i, result.train_names[i])}, label {_train_labels(result)[i]}",
        facts=facts,
        proponents=sides[0],
        opponents=sides[1],
        closing=_closing(row, influence),
    )


_Cells = tuple[FloatArray, FloatArray, FloatArray]


def _sides(
    cells: _Cells, retrains: int, names: tuple[str, ...], labels: list[str], *, count_shown: int, what: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    values, errors, degrees = cells
    if not retrains:
        said = {"label": labels, "influence": [number(float(value)) for value in values]}
        frame = pd.DataFrame({what: [_titled(place, name) for place, name in enumerate(names)]} | said)
        return frame.iloc[_strongest(values, count_shown)], frame.iloc[_strongest(-values, count_shown)]
    certain = benjamini_hochberg(p_values(values, errors, degrees))
    half = half_widths(errors, degrees)
    more = _more(values, errors, retrains, certain)
    frame = pd.DataFrame(
        {
            what: [_titled(place, name) for place, name in enumerate(names)],
            "label": labels,
            "influence ± 95 %": [interval(float(v), float(h)) for v, h in zip(values, half, strict=True)],
            "sign": ["certain" if sure else _more_words(float(m)) for sure, m in zip(certain, more, strict=True)],
        }
    )
    return frame.iloc[_strongest(values, count_shown)], frame.iloc[_strongest(-values, count_shown)]


def _strongest(values: FloatArray, count_shown: int) -> AnyArray:
    """Places of the highest values above 0, highest first."""
    order = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind="stable")[:count_shown]
    places: AnyArray = order[values[order] > 0]
    return places


def _more(values: FloatArray, errors: FloatArray, retrains: int, certain: BoolArray) -> FloatArray:
    """Retrains until each would be the next to be certain: among so many, a p-value of the next rank is asked of it."""
    threshold = LEVEL * min(1.0, (1 + int(certain.sum())) / max(1, len(values)))
    return retrains_to_certain_sign(values, errors, retrains, confidence=1.0 - threshold)


def _more_words(more: float) -> str:
    if np.isnan(more):
        return "unknown"
    if more > MOST_RETRAINS_SAID:
        return f"undecided (over {MOST_RETRAINS_SAID:,} retrains more)"
    return f"undecided (about {count(max(more, 1.0))} retrains more)"


def _certain_words(cells: _Cells, retrains: int) -> str:
    values, errors, degrees = cells
    certain = benjamini_hochberg(p_values(values, errors, degrees))
    more = _more(values, errors, retrains, certain)[~certain]
    finite = more[np.isfinite(more)]
    middle = (
        f"; the middle one of the others needs about {count(float(np.median(finite)))} retrains more"
        if finite.size
        else ""
    )
    return (
        f"{count(int(certain.sum()))} of {count(len(values))} signs are certain (false discovery rate "
        f"{percent(LEVEL)}){middle}; forecasts hold if the values stay where they are"
    )


def _closing(cells: _Cells, influence: Influence) -> tuple[str, ...]:
    """How sure it is; of gradient methods, which have no error over retrains, what they say of themselves."""
    return (_certain_words(cells, influence.retrains),) if influence.retrains else influence.notes


def _method_words(influence: Influence) -> str:
    if not influence.retrains:
        return f"{in_words(influence.value)} on {loss_in_words(influence.loss)}, from gradients"
    return f"{in_words(influence.value)} on {loss_in_words(influence.loss)}, {count(influence.retrains)} retrains"


def _test_loss(result: JobResult, influence: Influence, j: int) -> tuple[str, ...]:
    for campaign in result.campaigns:
        if influence.loss in campaign.losses:
            loss = float(campaign.ends(influence.loss).pivot()[j])
            return (f"loss of the model trained on everything: {number(loss)}",)
    return ()


def _titled(place: int, name: str) -> str:
    return f"#{place}" if name == str(place) else f"#{place} {shorten(clean(name), 40)}"


def _train_labels(result: JobResult) -> list[str]:
    data = result.loaded.dataset
    labels = [_label(result, label) for label in data.train_labels]
    if data.groups is None:
        return labels
    first = {int(group): row for row, group in reversed([*enumerate(data.groups)])}
    return [labels[first[player]] for player in range(data.n)]


def _label(result: JobResult, label: float) -> str:
    data = result.loaded.dataset
    if data.task == "regression":
        return number(float(label))
    return shorten(clean(data.classes[int(label)]), 24)
