"""The page: everything computed, then one template. No script, no outside address, every text escaped."""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from estimators.arrays import BoolArray
from orchestrator.replaced_file import replaced_file
from orchestrator.report import methods
from orchestrator.report.agreement import Agreement, agreement
from orchestrator.report.campaigns import (
    CampaignRow,
    FailureRow,
    campaign_rows,
    convergence_charts,
    failure_rows,
)
from orchestrator.report.certainty import certain_pairs
from orchestrator.report.charts import Chart
from orchestrator.report.contents import ReportInput
from orchestrator.report.data_values import DataValues, data_values
from orchestrator.report.explained_tests import ExplainedTest, explained_tests
from orchestrator.report.faithfulness import Faithfulness, faithfulness
from orchestrator.report.gradients import TESTS, GradientSection, gradient_section
from orchestrator.report.headline import headline
from orchestrator.report.label_errors import LabelErrors, label_errors
from orchestrator.report.pairs import PAIRS, MethodPairs, influential_pairs
from orchestrator.report.phrases import clean, loss_in_words, sentence
from orchestrator.report.shown import Instances
from orchestrator.report.suspicion import scores_of


@dataclass(frozen=True, slots=True)
class Page:
    """What the template is given."""

    contents: ReportInput
    headline: list[Markup]
    label_errors: LabelErrors
    tests: tuple[ExplainedTest, ...]
    certain_shown: int
    pairs: tuple[MethodPairs, ...]
    data_values: tuple[DataValues, ...]
    gradients: GradientSection | None
    agreement: Agreement | None
    faithfulness: Faithfulness | None
    convergence: list[Chart]
    campaigns: list[CampaignRow]
    failures: list[FailureRow]
    method_texts: list[methods.MethodText]
    value_rows: list[methods.ValueRow]
    instances: Instances
    loss: str
    campaigns_named: bool
    sign: str
    certainty: str


def write_report(contents: ReportInput, path: Path) -> list[str]:
    """Write the page to `path`, whole or not at all, and return its headline as plain sentences.

    Raises JobError where the path cannot be written.
    """
    page = _page(contents)
    content = _rendered(page).encode("utf-8")
    with replaced_file(path) as stream:
        stream.write(content)
    return [sentence.striptags() for sentence in page.headline]


def render(contents: ReportInput) -> str:
    """The report as one HTML document that needs nothing else to be shown."""
    return _rendered(_page(contents))


def _rendered(page: Page) -> str:
    style = style_text("figures.css") + style_text("style.css")
    template = environment().get_template("page.html")
    return template.render(page=page, style=Markup(style), policy=policy(style))  # noqa: S704 - our own file


def style_text(name: str) -> str:
    """A style sheet of ours."""
    return files("orchestrator.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def policy(style: str) -> str:
    """The content security policy: nothing may load or run but this very style sheet and pictures in the page."""
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def environment() -> Environment:
    """Where templates come from, and how what they print is escaped."""
    found = Environment(
        loader=PackageLoader("orchestrator.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["sentence"] = sentence
    return found


def _finalize(value: object) -> object:
    """Every text that is printed loses the characters that print nothing; markup is our own."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _page(contents: ReportInput) -> Page:
    scores = scores_of(contents)
    certain = [certain_pairs(influence) for influence in contents.shown_influences()]
    instances = Instances(contents, pictures=_pictures(contents))
    return Page(
        contents=contents,
        headline=headline(contents, scores, certain),
        label_errors=label_errors(contents, scores, instances),
        tests=explained_tests(contents, certain, instances),
        certain_shown=_total(certain),
        pairs=influential_pairs(contents, certain, instances),
        data_values=data_values(contents, instances),
        gradients=gradient_section(contents, instances),
        agreement=agreement(contents),
        faithfulness=faithfulness(contents),
        convergence=convergence_charts(contents),
        campaigns=campaign_rows(contents),
        failures=failure_rows(contents),
        method_texts=methods.method_texts(contents),
        value_rows=methods.value_rows(contents),
        instances=instances,
        loss=loss_in_words(contents.loss),
        campaigns_named=bool(contents.influence_campaigns or contents.instance_value_campaigns),
        sign=methods.SIGN,
        certainty=methods.CERTAINTY,
    )


def _total(certain: list[BoolArray]) -> int:
    return sum(int(pairs.sum()) for pairs in certain)


def _pictures(contents: ReportInput) -> int:
    """About how many pictures the page will hold, which decides how large they may be."""
    shown = len(contents.shown_influences())
    of_gradients = TESTS * (1 + 12 * len(contents.gradients))
    return contents.test_instances * (1 + 12 * shown) + (24 + 2 * PAIRS) * shown + 48 + of_gradients
