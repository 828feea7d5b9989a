"""On real data each gradient method foresees retrains by more than five bootstrap errors. Slow: about six minutes.

The methods, their jobs and what each is judged on stand in one table, that of `benchmarks/faithfulness.py`.
"""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from harness.faithful_groups import anomalies, group_agreements
from harness.faithful_jobs import (
    ERRORS,
    GROUP_METHODS,
    HELD_OUT,
    METHODS,
    ORDERS,
    SMALL,
    network_job,
    single_job,
    words_job,
)

from orchestrator import load_job, run
from orchestrator.evaluation.evaluate import evaluate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def judged(job, folder, template_database):
    folder.mkdir()
    shutil.copy(template_database, folder / "apportion.db")
    result = run(load_job(job(folder, SMALL)))
    found = evaluate(result, share=HELD_OUT, campaign="halves")
    return result, found, {each.name: each.datamodeling for each in found.estimators}


@pytest.fixture(scope="module")
def network(template_database, tmp_path_factory):
    return judged(network_job, tmp_path_factory.mktemp("faithful") / "network", template_database)


def test_each_method_is_above_chance_by_more_than_five_errors(network):
    result, _, scores = network
    matrices = [spec.label for spec in result.job.gradients if spec.given == "matrix"]
    assert len(matrices) == len(METHODS)
    short = {
        name: scores[name] for name in matrices if not scores[name].value > ERRORS * scores[name].standard_error > 0
    }
    assert not short


def test_orders_are_told_where_the_paired_difference_exceeds_three_errors(network):
    _, found, _ = network
    told = {(each.better, each.worse): each for each in found.differences}
    assert all(each.difference > 3 * each.standard_error > 0 for each in told.values())
    assert set(ORDERS) <= set(told)


def test_group_influence_foresees_retrains_without_each_group(network):
    found = group_agreements(network[0])
    assert len(found) == len(GROUP_METHODS)
    assert not {name: each for name, each in found.items() if not each.score > ERRORS * each.standard_error > 0}


@pytest.mark.parametrize(("job", "method"), [(single_job, "tracin_ideal"), (words_job, "tracin_we")])
def test_methods_of_other_models_are_above_chance_by_more_than_five_errors(job, method, template_database, tmp_path):
    score = judged(job, tmp_path / "job", template_database)[2][method]
    assert score.value > ERRORS * score.standard_error > 0


def test_variational_tracin_finds_anomalies_by_more_than_five_errors():
    found = anomalies()
    for each in (found.self_influence, found.anomaly_score):
        assert each.auroc - 0.5 > ERRORS * each.auroc_standard_error > 0
