"""The section on training instances: data values, their distribution, and who stands at either end."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray
from estimators.influence import InstanceValues
from orchestrator.report.charts import Chart, Series, histogram, ranked
from orchestrator.report.contents import ReportInput
from orchestrator.report.explained_tests import Partner
from orchestrator.report.names import in_words
from orchestrator.report.phrases import interval, loss_in_words, value_in_words
from orchestrator.report.shown import Instances

ENDS = {"pictures": 12, "rows": 6, "plain": 10}


@dataclass(frozen=True, slots=True)
class DataValues:
    """The data values of one method. unknown: how many instances have none."""

    method: str
    loss: str
    certain: int
    unknown: int
    n: int
    charts: tuple[Chart, ...]
    highest: tuple[Partner, ...]
    lowest: tuple[Partner, ...]


def data_values(contents: ReportInput, instances: Instances) -> tuple[DataValues, ...]:
    """The data values of each influence, on whatever loss."""
    return tuple(_of(influence.data_values(), instances) for influence in contents.influences)


def _of(values: InstanceValues, instances: Instances) -> DataValues:
    known = np.flatnonzero(np.isfinite(values.values))
    order = known[np.argsort(-values.values[known], kind="stable")]
    count = min(ENDS[instances.kind], len(order) // 2)
    return DataValues(
        method=in_words(values.value),
        loss=loss_in_words(values.loss),
        certain=int(values.certain().sum()),
        unknown=len(values.values) - len(known),
        n=len(values.values),
        charts=_charts(values),
        highest=_listed(values, order[:count], instances),
        lowest=_listed(values, order[::-1][:count], instances),
    )


def _charts(values: InstanceValues) -> tuple[Chart, ...]:
    unit, certain, half = f"data value ({loss_in_words(values.loss)})", values.certain(), values.half_widths()
    method = value_in_words(values.value, values.loss)
    groups = [
        (Series("sign not certain", "mute"), values.values[~certain]),
        (Series("certain proponent", "pro"), values.values[certain & (values.values > 0)]),
        (Series("certain opponent", "con"), values.values[certain & (values.values < 0)]),
    ]
    charts = [
        histogram(f"{method}: distribution", unit, groups),
        ranked(f"{method}: in order, with 95 % intervals", unit, values.values, half, certain),
    ]
    return tuple(chart for chart in charts if chart is not None)


def _listed(values: InstanceValues, places: AnyArray, instances: Instances) -> tuple[Partner, ...]:
    certain, half = values.certain(), values.half_widths()
    return tuple(
        Partner(
            instances.train(int(values.train_index[i])),
            interval(float(values.values[i]), float(half[i])),
            bool(certain[i]),
        )
        for i in places
    )
