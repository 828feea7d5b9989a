"""From a job's results to its report: everything is computed from the stored losses, so the page can be made again.

Values first, in the job's order, each from the first campaign that permits it and, where it is one number an
instance, from every campaign that does.
"""

import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from estimators.arrays import FloatArray
from estimators.influence import Influence, InstanceValues
from estimators.registry import value_method
from orchestrator.campaign import Campaign
from orchestrator.data.tables import features_shown
from orchestrator.errors import JobError
from orchestrator.evaluation.keeping import kept_evaluation
from orchestrator.gradients.values import GradientValues
from orchestrator.influences.placed import PlacedInfluences
from orchestrator.influences.work import InfluencePool
from orchestrator.keeping.staleness import rows_used
from orchestrator.monitor import Monitor
from orchestrator.progress import duration
from orchestrator.report.contents import ROWS_OF, CampaignFacts, Command, Convergence, FailureFacts, ReportInput
from orchestrator.report.headline_metrics import headline_metrics
from orchestrator.report.page import write_report as write_page
from orchestrator.report.picture_files import picture_files
from orchestrator.report.tops import top_lists
from orchestrator.results import JobResult
from orchestrator.tracking.metric_points import Point
from orchestrator.tracking.provenance import versions
from orchestrator.tracking.runs import CampaignRun
from orchestrator.tracking.tracker import Tracker
from orchestrator.wording import counted

CONVERGENCE_POINTS = 10
ALWAYS_SAID = ("model", "epochs", "batch_size", "c", "alpha", "estimator", "function", "library")
"""Options of a learner that the page names even where they are the default."""
SECONDS_TAG = "apportion.seconds"


def report_path(result: JobResult) -> Path:
    """Where the page is written: beside the job file."""
    return result.job.folder / f"{result.job.name}-report.html"


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where the page is, and what it says first, in plain sentences."""

    path: Path
    headline: tuple[str, ...]


def make_report(result: JobResult, tracker: Tracker, say: Callable[[str], None]) -> WrittenReport:
    """Compute the values, write the page beside the job file, and keep it with the parent run."""
    say("computing values ...")
    with PlacedInfluences(result.job, say) as pool:
        contents = report_input(result, tracker, pool)
    say("writing the report ...")
    path = report_path(result)
    headline = write_page(contents, path)
    parent = tracker.find_job_run()
    if parent is not None:
        _keep(contents, path, tracker, parent.run_id)
    return WrittenReport(path, tuple(headline))


def _keep(contents: ReportInput, path: Path, tracker: Tracker, run_id: str) -> None:
    """The page, its pictures, its top lists and its figures, with the job's run."""
    tracker.put(run_id, "report.html", path.read_bytes())
    for name, content in (picture_files(contents) | top_lists(contents)).items():
        tracker.put(run_id, name, content)
    step, now = sum(facts.stored for facts in contents.campaigns), round(time.time() * 1000)
    metrics = headline_metrics(contents)
    tracker.send(run_id, [Point(run_id, name, value, step, now) for name, value in metrics.items()])


def report_input(result: JobResult, tracker: Tracker, pool: InfluencePool | None = None) -> ReportInput:
    """Everything that the page shows. pool: where influences are worked out (default: in this process)."""
    computed = _computed(result, pool)
    runs = {run.campaign_id: run for run in tracker.campaign_runs()}
    data, job = result.loaded.dataset, result.job
    return ReportInput(
        name=job.name,
        data=_data_words(result),
        learner=_learner_words(result),
        dataset=data,
        campaigns=[_campaign_facts(each, runs.get(each.id)) for each in result.campaigns],
        influences=[found for found, _ in computed.influences],
        influence_campaigns=[campaign for _, campaign in computed.influences],
        instance_values=[found for found, _ in computed.instance_values],
        instance_value_campaigns=[campaign for _, campaign in computed.instance_values],
        train_names=result.loaded.train_names,
        test_names=result.loaded.test_names,
        train_frame=features_shown(result.loaded.train_frame, job.data),
        test_frame=features_shown(result.loaded.test_frame, job.data),
        image_shape=result.loaded.image_shape,
        known_label_errors=result.loaded.known_label_errors,
        test_losses=_full_losses(result.campaigns[0]) if result.campaigns else {},
        label_error_share=job.report.label_error_share,
        test_instances=job.report.test_instances,
        convergence=[curve for each in result.campaigns for curve in _convergence(each, job.value_labels)],
        failures=[failure for each in result.campaigns for failure in _failures(each)],
        notes=_notes(result, computed),
        next_commands=_next_commands(result, tracker),
        replay_commands=[
            Command(_command("run", result), "trains nothing that is stored, and computes everything again")
        ],
        versions=versions(),
        fingerprints=_fingerprints(result),
        cost=_cost(result),
        evaluation=kept_evaluation(tracker),
        gradients=_gradients(result),
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


@dataclass(frozen=True, slots=True)
class _Computed:
    """Values of a job, each with the name of the campaign it comes from."""

    influences: tuple[tuple[Influence, str], ...]
    instance_values: tuple[tuple[InstanceValues, str], ...]


def _computed(result: JobResult, pool: InfluencePool | None) -> _Computed:
    influences: list[tuple[Influence, str]] = []
    instance_values: list[tuple[InstanceValues, str]] = []
    for name in values_asked(result):
        for campaign in result.campaigns:
            if campaign.why_not(name):
                continue
            found = campaign.values(name, pool=pool)
            if isinstance(found, Influence):
                # without its sufficient statistics, which only sums need: two matrices less for each value
                influences.append((replace(found, statistics=None), campaign.name))
                break
            instance_values.append((found, campaign.name))
    return _Computed(tuple(influences), tuple(instance_values))


def _gradients(result: JobResult) -> list[GradientValues]:
    """Of the entries of `gradients` those that are whole in the store."""
    found = []
    for spec in () if result.test_set else result.job.gradients:
        with suppress(JobError):
            found.append(result.gradient(spec.label))
    return found


def values_asked(result: JobResult) -> tuple[str, ...]:
    """The job's values, or all that its campaigns permit."""
    return result.job.value_labels or tuple(
        dict.fromkeys(name for each in result.campaigns for name in each.value_names)
    )


def _data_words(result: JobResult) -> str:
    data = result.loaded.dataset
    train = f"{data.n:,} training" if data.groups is None else f"{data.n:,} groups of {data.rows:,} training"
    return f"{train} and {counted(data.n_test, 'test instance')} from {result.loaded.train_source.name}"


def _learner_words(result: JobResult) -> str:
    learner = result.job.learner
    unsaid = {field.name: field.default for field in fields(learner) if field.name not in ALWAYS_SAID}
    options = {
        name: value
        for name, value in asdict(learner).items()
        if isinstance(value, (str, int, float)) and value != "" and value != unsaid.get(name)
    }
    kind = options.pop("kind", learner.kind)
    return f"{kind}: " + ", ".join(f"{name} {value}" for name, value in options.items() if name != "together")


def _campaign_facts(campaign: Campaign, run: CampaignRun | None) -> CampaignFacts:
    plan, store = campaign.plan, campaign.store
    rows = list(dict.fromkeys(campaign.row_ids()))
    failed = len(store.failed(rows))
    facts = store.trained_by(campaign.id)
    return CampaignFacts(
        name=campaign.name,
        design=plan.design.label,
        planned=len(rows),
        stored=len(rows) - failed - len(store.missing(rows)),
        failed=failed,
        spared=max(0, len(rows) - facts.rows),
        together=plan.facts.together,
        seconds=float(run.tags.get(SECONDS_TAG, "nan")) if run is not None else float("nan"),
        worker_seconds=facts.seconds,
        stored_bytes=facts.bytes,
        run="" if run is None else run.run_id,
    )


def _full_losses(campaign: Campaign) -> Mapping[str, FloatArray]:
    return {loss: campaign.ends(loss).pivot() for loss in campaign.losses}


def _convergence(campaign: Campaign, values: tuple[str, ...]) -> Iterator[Convergence]:
    monitor = Monitor(campaign, values or campaign.value_names)
    draws = campaign.plan.draws
    stops = sorted({int(stop) for stop in np.linspace(0, draws, CONVERGENCE_POINTS + 1)[1:]} - {0, 1})
    points = [monitor.advance(stop) for stop in stops]
    for curve in zip(*points, strict=True):
        yield Convergence(
            campaign=campaign.name,
            value=curve[0].value,
            loss=curve[0].loss,
            retrains=[point.draws for point in curve],
            mean_standard_error=[point.mean_standard_error for point in curve],
            certain_share=[point.signs_certain for point in curve],
            rank_stability=[point.rank_stability for point in curve],
        )


def _failures(campaign: Campaign) -> Iterator[FailureFacts]:
    rows = list(dict.fromkeys(campaign.row_ids()))
    failed = campaign.store.failed(rows)
    first = {reason: place for place, reason in reversed(failed.items())}
    for reason, count in Counter(failed.values()).most_common():
        yield FailureFacts(campaign=campaign.name, reason=reason, count=count, subset=rows[first[reason]].key.hex())


def _notes(result: JobResult, computed: _Computed) -> list[str]:
    notes = list(result.loaded.notes)
    named = [(each.value, each.notes) for each, _ in computed.influences]
    named += [(each.value, each.notes) for each, _ in computed.instance_values]
    for value, said in named:
        notes += [f"{value_method(value).title}: {note}" for note in said]
    return list(dict.fromkeys(notes))


def _command(name: str, result: JobResult, *options: str) -> str:
    return shlex.join(["apportion", name, result.job.origin.path or "job.yaml", *options])


def _next_commands(result: JobResult, tracker: Tracker) -> list[Command]:
    value = next((name for each in result.campaigns for name in each.value_names), "banzhaf")
    return [
        Command(
            _command("values", result, "--value", value, "-o", f"{value}.parquet"), "export every pair with its error"
        ),
        Command(tracker.ui_command(), "campaigns, charts and chunks in MLflow's pages"),
        Command(_command("plan", result), "what a larger budget would buy: raise `retrains` in the job file first"),
    ]


def _fingerprints(result: JobResult) -> dict[str, str]:
    """Of data, learner and code, and of the rows of each campaign that the page was made from."""
    if not result.campaigns:
        return {}
    rows = {f"{ROWS_OF}{campaign.name}": rows_used(campaign) for campaign in result.campaigns}
    return asdict(result.campaigns[0].store.fingerprints) | rows


def _cost(result: JobResult) -> dict[str, str]:
    facts = [each.store.trained_by(each.id) for each in result.campaigns]
    return {
        "training, summed over workers": duration(sum(each.seconds for each in facts)),
        "retrains stored": f"{sum(each.rows for each in facts):,}",
        "stored": f"{sum(each.bytes for each in facts) / 1e6:,.1f} MB",
    }
