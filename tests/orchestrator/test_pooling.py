"""Values from campaigns of several designs at once, against exact values of the same learner."""

import shutil

import numpy as np
import pytest
from scipy import stats

from estimators.designs import make_design
from estimators.designs.pooled import Pooled
from estimators.errors import EstimatorError, ImpossibleDesign
from orchestrator import Job, arrays_data, run
from orchestrator.pooling import pooled

N = 10


def everything(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def pool():
    parts = (make_design("bernoulli", n=6, seed=1), make_design("permutation", n=6, seed=1, order="antithetic"))
    return Pooled(parts, (60, 40))


def test_a_pool_draws_what_its_designs_draw_and_numbers_their_units_on():
    design = pool()
    whole = np.concatenate([design.parts[0].draws(0, 60), design.parts[1].draws(0, 40)])
    np.testing.assert_array_equal(design.draws(0, 100), whole)
    np.testing.assert_array_equal(design.draws(55, 70), whole[55:70])
    np.testing.assert_array_equal(design.units(0, 100), np.concatenate([np.arange(60), 60 + np.arange(40) // 10]))
    np.testing.assert_array_equal(design.units(58, 75), design.units(0, 100)[58:75])


def test_the_law_of_a_pool_is_the_mixture_by_draws():
    design = pool()
    laws = [np.exp(part.log_size_law()) for part in design.parts]
    np.testing.assert_allclose(np.exp(design.log_size_law()), 0.6 * laws[0] + 0.4 * laws[1], atol=1e-15)
    probabilities = np.exp(design.log_probability(everything(6)))
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)


def test_designs_of_other_sizes_are_not_pooled():
    parts = (make_design("bernoulli", n=6, seed=1), make_design("bernoulli", n=7, seed=1))
    with pytest.raises(ImpossibleDesign, match="different numbers"):
        Pooled(parts, (4, 4))


@pytest.fixture(scope="module")
def result(template_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pooled")
    shutil.copy(template_database, folder / "apportion.db")
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N + 12, 3))
    y = X @ rng.normal(size=3) + rng.normal(size=N + 12)
    job = Job(
        name="pooled",
        data=arrays_data(X[:N], y[:N], X[N:], y[N:]),
        learner={"kind": "ridge"},
        campaigns=[
            {"design": "sizes", "serves": "shapley", "retrains": 300},
            {"design": "bernoulli", "probability": 0.5, "retrains": 200},
            {"design": "exhaustive"},
        ],
        cluster={"address": "in_process"},
        folder=folder,
    )
    return run(job)


@pytest.mark.parametrize("value", ["shapley", "banzhaf"])
def test_pooled_values_agree_with_exact_ones_within_their_errors(result, value):
    exact = result.values(value, campaign="exhaustive").values
    found = result.values(value, campaign="pooled")
    t = (found.values - exact) / found.standard_errors
    # mean t^2 of 10 x 12 cells that share rows: well below 3 where errors are honest; no cell beyond 6 errors
    assert (t**2).mean() < 3.0
    assert np.abs(t).max() < 6.0
    assert found.notes[0] == "from sizes and bernoulli together, by the mixture of their laws"
    alone = result.values(value, campaign="sizes")
    assert found.standard_errors.mean() < 1.1 * alone.standard_errors.mean()


def test_a_value_that_the_pool_does_not_give_is_refused(result):
    with pytest.raises(EstimatorError, match="downsampling"):
        result.values("downsampling", campaign="pooled")


def test_the_pooled_rows_are_spread_over_sizes_as_the_mixture_says(result):
    # Chi-square of sizes over 500 rows, fixed seed, false-alarm rate 1e-4 (a fixed share of each design varies less).
    together = pooled(result.campaigns)
    sizes = np.concatenate([block.members.sum(axis=1) for block in together.retrains("squared_error", 0, 500)])
    expected = 500 * np.exp(together.design.log_size_law())
    common = expected >= 5
    observed = np.bincount(sizes, minlength=N + 1)
    statistic = ((observed - expected)[common] ** 2 / expected[common]).sum()
    assert stats.chi2.sf(statistic, common.sum() - 1) > 1e-4


def test_any_part_of_the_pooled_rows_holds_each_campaign_in_proportion(result):
    blocks = list(pooled(result.campaigns).retrains("squared_error", 0, 500))
    draws, units = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("draws", "units"))
    np.testing.assert_array_equal(units, np.arange(500))
    assert (draws[:250] < 300).sum() == 150
    np.testing.assert_array_equal(np.sort(draws), np.arange(500))
