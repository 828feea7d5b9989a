"""What `plan` predicts from a pilot that stays in the campaign, against what the campaign then delivers."""

import numpy as np
import pytest

from estimators.best_design import serving_law, variance_factor
from estimators.designs.size_laws import best_size_law, log_binomial, mixed_size_law, semivalue_sizes
from orchestrator import Job, arrays_data, run
from orchestrator.advice import advice
from orchestrator.commands.plan import RARE
from orchestrator.expected_errors import expected_errors
from orchestrator.kept_pilot import keep_pilot, stored_campaigns
from orchestrator.pilot import forecast
from orchestrator.preparation import prepare, smoke
from orchestrator.progress import Screen

pytestmark = pytest.mark.usefixtures("tracking_database")

N = 24
CAMPAIGNS = [
    {"design": "bernoulli", "probability": 0.5, "retrains": 480},
    {"design": "uniform", "fraction": 0.7, "retrains": 480},
    {"design": "uniform", "size": 12, "replicates": 2, "retrains": 400, "name": "twice"},
]
VALUES = ["banzhaf", "downsampling", "memorization", "banzhaf of clip(cross_entropy, 0.5) over class"]


def a_job(folder, n=N, **said):
    rng = np.random.default_rng(12)
    X = rng.normal(size=(n + 16, 4))
    y = (X @ rng.normal(size=4) + 0.5 * rng.normal(size=n + 16) > 0).astype(int)
    return Job(
        name="planned",
        data=arrays_data(X[:n], y[:n], X[n:], y[n:]),
        learner={"kind": "logistic_regression", "c": 1.0, "train_losses": True, "together": 16},
        cluster={"address": "in_process"},
        folder=folder,
        **{"campaigns": CAMPAIGNS, "values": VALUES, **said},
    )


def mean_error(result):
    errors = result.standard_errors
    return errors[np.isfinite(errors)].mean()


def test_the_mean_standard_error_comes_out_within_a_quarter_of_what_the_pilot_predicts(tmp_path):
    # What is not marked: from 32 draws, and from the pilot that `plan --keep` takes, where nearly all are not.
    job = a_job(tmp_path)
    keep_pilot(job, Screen())
    kept = stored_campaigns(job)
    assert all(32 <= campaign.plan.draws <= 240 for campaign in kept.values())
    prepared = prepare(job, str)
    forecasts = forecast(prepared, smoke(prepared), 1, str, kept)
    predicted = {each.campaign.id: each.errors for each in forecasts}
    marked = [each.pair.rough for found in predicted.values() for each in found if each.unvaried < RARE]
    assert sum(marked) <= 0.25 * len(marked)
    means = ("banzhaf_sample_reuse", "downsampling", "memorization")
    for name, campaign in kept.items():
        draws = next(each.draws for each in forecasts if each.campaign.id == name)
        short = expected_errors(campaign, campaign.plan.design, means, draws=draws, pilot=32, train_losses=True)
        predicted[name] = (*predicted[name], *short)

    ratios = []
    for campaign in run(job).campaigns:
        for each in predicted[campaign.id]:
            if each.unvaried >= RARE:  # said beside the prediction: zero-one losses that a pilot seldom sees vary
                assert each.loss == "zero_one"
                continue
            if each.pair.rough:
                continue
            loss, _, over = each.loss.partition(" over ")
            found = campaign.values(each.value, of=loss, over=over or None)
            ratios.append((campaign.name, each.value, each.loss, each.pair.error / mean_error(found)))
    assert len(ratios) >= 10
    assert [row for row in ratios if abs(row[-1] - 1.0) > 0.25] == [], ratios


def test_a_value_that_the_budgets_draws_will_not_give_is_not_predicted(tmp_path):
    half = {"name": "half", "design": "bernoulli", "probability": 0.5, "retrains": 300}
    sizes = {"name": "sizes", "design": "sizes", "serves": {"shapley": 1.0}, "retrains": 300}
    prepared = prepare(a_job(tmp_path, 200, campaigns=[half, sizes], values=["banzhaf", "shapley"]), str)
    found = forecast(prepared, smoke(prepared), 1, str)
    assert [sorted({error.value for error in each.errors}) for each in found] == [["banzhaf"], ["banzhaf", "shapley"]]


def test_the_law_named_serves_all_values_with_no_other_mixture_cheaper():
    values = ("shapley", "banzhaf")
    law = serving_law(values, 60)
    dearest = max(law.factors.values())
    for share in np.linspace(0.0, 1.0, 13):
        serves = tuple(pair for pair in (("shapley", share), ("banzhaf", 1 - share)) if pair[1] > 0)

        mixed = mixed_size_law(60, serves)
        assert max(variance_factor(semivalue_sizes(value, 60), mixed) for value in values) >= dearest - 1e-12


def test_factors_are_those_of_the_sheet():
    # Shapley under the law 1 / sqrt(s (n - s)) tends to pi^2; under uniform sizes it is 2 H_{n-1} (n-1) / n.
    for n, factor in ((100, 8.1), (1000, 9.3)):
        p = semivalue_sizes("shapley", n)
        assert variance_factor(p, best_size_law(p)) == pytest.approx(factor, abs=0.1)
    uniform = np.full(101, -np.log(99))
    uniform[[0, 100]] = -np.inf
    harmonic = sum(1 / k for k in range(1, 100))
    assert variance_factor(semivalue_sizes("shapley", 100), uniform) == pytest.approx(2 * harmonic * 99 / 100)
    assert variance_factor(semivalue_sizes("banzhaf", 100), log_binomial(100, 0.5)) == pytest.approx(4.0, rel=0.03)
    assert variance_factor(semivalue_sizes("shapley", 100), log_binomial(100, 0.5)) > 1e6


def test_the_advice_names_a_design_and_what_the_jobs_own_cost_beside_it(tmp_path):
    prepared = prepare(a_job(tmp_path), str)
    forecasts = forecast(prepared, smoke(prepared), 1, str)
    said = "\n".join(advice(("shapley", "banzhaf", "memorization"), forecasts))
    assert "cheapest design for shapley and banzhaf: {design: sizes, serves: {shapley:" in said
    assert "as cheap as far as this pilot can tell: {design: paired, serves: {shapley:" in said
    assert "{design: permutation, order: antithetic}" in said
    assert "not served" in said
    assert "\n    bernoulli" in said
    assert advice(("memorization",), forecasts) == []
