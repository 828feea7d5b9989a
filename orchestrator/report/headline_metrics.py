"""The report's figures as metrics of the job's run, so that jobs can be sorted and compared in MLflow's tables."""

import numpy as np

from orchestrator.report.contents import ReportInput
from orchestrator.report.suspicion import detection, scores_of
from orchestrator.tracking.metric_points import metric_name


def headline_metrics(contents: ReportInput) -> dict[str, float]:
    """Names and values; what is not known is left out.

    retrains, failures; of each influence the mean standard error and the share of data values of certain sign; of each
    score AUROC, precision and recall against the known label errors.
    """
    metrics = {
        "retrains": float(sum(facts.stored for facts in contents.campaigns)),
        "failures": float(sum(facts.failed for facts in contents.campaigns)),
    }
    for influence, _ in contents.named_influences():
        names = (influence.value, influence.loss)
        errors = influence.standard_errors[np.isfinite(influence.standard_errors)]
        metrics[metric_name("mean_standard_error", *names)] = float(errors.mean()) if errors.size else float("nan")
        metrics[metric_name("signs_certain", *names)] = float(influence.data_values().certain().mean())
    return {name: value for name, value in (metrics | _label_errors(contents)).items() if np.isfinite(value)}


def _label_errors(contents: ReportInput) -> dict[str, float]:
    known = contents.known_label_errors
    if known is None or not known.any():
        return {}
    metrics: dict[str, float] = {}
    for score in scores_of(contents):
        found = detection(score, known, contents.label_error_share)
        name = score.values.value if not score.campaign else f"{score.values.value}.{score.campaign}"
        metrics[metric_name("label_errors", name, "auroc")] = found.auroc
        metrics[metric_name("label_errors", name, "precision")] = found.precision
        metrics[metric_name("label_errors", name, "recall")] = found.recall
    return metrics
