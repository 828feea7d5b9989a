"""The report's charts as pictures of their own (SVG), which MLflow's pages show one by one."""

import re
from collections.abc import Iterator

from markupsafe import Markup

from orchestrator.report.campaigns import convergence_charts
from orchestrator.report.charts import Chart
from orchestrator.report.contents import ReportInput
from orchestrator.report.data_values import data_values
from orchestrator.report.faithfulness import faithfulness
from orchestrator.report.gradients import gradient_charts
from orchestrator.report.label_errors import label_errors
from orchestrator.report.page import environment, style_text
from orchestrator.report.shown import Instances
from orchestrator.report.suspicion import scores_of


def picture_files(contents: ReportInput) -> dict[str, bytes]:
    """File names `pictures/<nn>-<title>.svg` and contents, in the page's order."""
    template, style = environment().get_template("picture.svg"), Markup(style_text("figures.css"))  # noqa: S704 - ours
    return {
        f"pictures/{place:02d}-{_stem(chart.title)}.svg": template.render(figure=chart, style=style).strip().encode()
        for place, chart in enumerate(_charts(contents), start=1)
    }


def _charts(contents: ReportInput) -> Iterator[Chart]:
    instances = Instances(contents, pictures=0)
    yield from label_errors(contents, scores_of(contents), instances).charts
    for values in data_values(contents, instances):
        yield from values.charts
    yield from gradient_charts(contents)
    judged = faithfulness(contents)
    yield from () if judged is None else judged.charts
    yield from convergence_charts(contents)


def _stem(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60]
