"""The algebra behind semivalues by surrogate, against dense matrices and plain sums in double precision."""

import numpy as np
import pytest
from estimator_material import aggregator_of, design_of
from scipy.optimize import approx_fprime

from estimators.aggregators import surrogate_block
from estimators.aggregators.blocks import aggregate
from estimators.aggregators.unit_variance import Sides
from estimators.retrains import EndRows, Retrains
from estimators.surrogates import gaussian_process
from estimators.surrogates.gaussian_process import JITTER, START, conditioned, fitted_scales
from estimators.surrogates.kernels import SemivalueLaw, covariance, folded, linear, of_size, products


def covariance_of(m, seed):
    a = np.random.default_rng(seed).normal(size=(m, 2 * m))
    return a @ a.T / (2 * m)


def test_a_process_left_without_a_unit_predicts_it_as_dense_algebra_does():
    m, together = 300, [5, 6, 290]
    rng, plain = np.random.default_rng(1), covariance_of(m, 0)
    noise, units = rng.uniform(0.1, 0.3, size=m), np.arange(m)
    units[together] = 5
    units[7] = -1
    whole = plain + np.diag(noise + JITTER * np.diag(plain).mean())
    responses = np.asfortranarray(rng.normal(size=(m, 3)))
    garbage = np.triu(plain) + np.tril(rng.normal(size=(m, m)), -1)  # the upper half is all that is read
    process = conditioned(garbage, noise, units)
    found = process.coefficients(responses)
    np.testing.assert_allclose(found, np.linalg.solve(whole, responses), rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(process.own, noise, rtol=1e-6)
    left_out = process.left_out(found)
    for unit in ([3], together):
        rest = np.setdiff1d(np.arange(m), unit)
        weights = np.linalg.solve(whole[np.ix_(rest, rest)], whole[np.ix_(rest, unit)])
        np.testing.assert_allclose(left_out[unit], responses[unit] - weights.T @ responses[rest], rtol=1e-7, atol=1e-9)
        spread = whole[np.ix_(unit, unit)] - whole[np.ix_(unit, rest)] @ weights
        np.testing.assert_allclose(process.predicted[unit], np.diag(spread), rtol=1e-8)


def test_the_slope_of_the_likelihood_is_that_of_its_differences(monkeypatch):
    given = {}

    def keep(objective, start, **options):
        given["objective"] = objective
        return type("Found", (), {"x": start, "fun": 0.0})

    monkeypatch.setattr(gaussian_process, "minimize", keep)
    rng = np.random.default_rng(2)
    parts, noise = [covariance_of(30, seed) for seed in (3, 4, 5)], np.ones(30)
    noise[-1] = 1e-6
    responses = rng.normal(size=(30, 4))
    fitted_scales(parts, noise, responses)
    place = np.log(START) + 0.3
    value, slope = given["objective"](place)
    expected = approx_fprime(place, lambda x: given["objective"](x)[0], 1e-6)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-4)
    scales = np.exp(place)
    whole = sum(scale * part for scale, part in zip(scales, parts, strict=False)) + np.diag(scales[3] * noise)
    whole += JITTER * np.diag(whole).mean() * np.eye(30)
    half = 0.5 * np.sum(responses * np.linalg.solve(whole, responses)) + 2.0 * np.linalg.slogdet(whole)[1]
    np.testing.assert_allclose(value, half, rtol=1e-9)


@pytest.mark.parametrize("fold", [False, True])
def test_a_covariance_is_the_sum_of_its_components(fold):
    n = 12
    law = SemivalueLaw(np.full(n, 1 / n), np.array([0.2, 0.5, 0.8]), np.full(3, 1 / 3))
    members = np.random.default_rng(6).random((40, n)) < 0.4
    sizes, distances = members.sum(axis=1), (members[:, None] ^ members[None]).sum(axis=2)
    parts = [linear(law), of_size(law, np.unique(sizes)), products(law, 2.0)]
    parts = [folded(part) for part in parts] if fold else parts
    found = covariance(parts, (0.5, 0.25, 2.0), distances, sizes)
    each = [part.among(distances, sizes) for part in parts]
    np.testing.assert_allclose(found, 0.5 * each[0] + 0.25 * each[1] + 2.0 * each[2], rtol=1e-13)
    counted = surrogate_block._distances(members.T.astype(np.float32), sizes)
    np.testing.assert_array_equal(np.triu(counted), np.triu(distances))


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("in_pairs", [True, False])
def test_a_spread_over_units_is_that_of_plain_sums(alike, in_pairs):
    rng = np.random.default_rng(7)
    members, scale = rng.random((9, 60)) < 0.5, 10.0 ** rng.uniform(-30, 30, size=4)
    inside = rng.uniform(1.0, 2.0, size=60)
    outside = inside if alike else rng.uniform(1.0, 2.0, size=60)
    y = rng.normal(size=(60, 4)) * scale
    units = np.arange(60) // 2 if in_pairs else np.arange(60)
    units[50:] = -1
    y[50:] = 0.0
    sides = Sides.of(np.asfortranarray(members, dtype=np.float32), inside, outside, units)
    z = np.where(members[:, :50, None], (inside[:, None] * y)[:50], -(outside[:, None] * y)[:50])
    z = z.reshape(9, 25, 2, 4).sum(axis=2) if in_pairs else z
    expected = z.var(axis=1, ddof=1) * z.shape[1]
    np.testing.assert_allclose(sides.variance(y), expected, rtol=2e-5)


def test_errors_from_the_values_own_product_are_those_of_a_product_of_their_own(monkeypatch):
    design = design_of("bernoulli", 1200, seed=1)
    members, rng = design.draws(0, 600), np.random.default_rng(8)
    effects = rng.normal(size=(1200, 5)) / 20
    effects[0] = 1.0  # much of what a surrogate leaves is one instance's effect
    losses = members @ effects + 0.3 * rng.normal(size=(600, 5))
    ends = EndRows(losses[:1], losses[1], deterministic=True)

    def errors():
        return aggregate(aggregator_of("banzhaf", design, ends), [Retrains(members, losses)]).standard_errors

    ours, own = errors(), []
    variance = Sides.variance

    def counted(self, y, *, inside=None):
        own.append(inside is None)
        return variance(self, y, inside=inside)

    monkeypatch.setattr(Sides, "variance", counted)
    monkeypatch.setattr(surrogate_block, "MOST_UNLIKE", -1.0)
    np.testing.assert_allclose(ours, errors(), rtol=1e-3)
    assert all(own)
    monkeypatch.undo()
    monkeypatch.setattr(Sides, "variance", counted)
    own.clear()
    errors()
    assert not any(own)
