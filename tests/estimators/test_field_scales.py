"""What rows tell of a field's scales: its gradient, its points, and whether its doubt is right."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from estimators.designs import make_design
from estimators.surrogates.field_scales import (
    PRIOR_MEAN,
    SLOPES,
    _Fit,
    effective_columns,
    scales_posterior,
    size_places,
)
from estimators.surrogates.kernels import SemivalueLaw, linear

N = 20


def distances(members):
    return (members[:, None] != members[None, :]).sum(axis=2)


def additive(seed, *, share, rows=60, columns=3):
    """Losses whose variance is by `share` that of effects of single instances, else noise."""
    rng = np.random.default_rng(seed)
    members = make_design("bernoulli", n=N, seed=seed).draws(0, rows)
    signal = (2.0 * members - 1.0) @ rng.normal(size=(N, columns)) / np.sqrt(N)
    losses = np.sqrt(share) * signal + np.sqrt(1.0 - share) * rng.normal(size=(rows, columns))
    return members, losses


def test_the_gradient_is_that_of_differences():
    rng = np.random.default_rng(3)
    members, losses = additive(1, share=0.5, rows=24)
    part = linear(SemivalueLaw(np.full(N, 1 / N), np.array([0.5]), np.ones(1))).among(
        distances(members), members.sum(1)
    )
    among = [
        part,
        np.ones_like(part) + np.eye(24),
        np.exp(-distances(members) / 4.0),
        np.exp(-(distances(members) ** 2) / 9.0),
    ]
    fit = _Fit(among, losses, rng.uniform(0.5, 1.5, size=24), size_places(members))
    for power in (1.0, 0.2):
        at = PRIOR_MEAN + rng.normal(size=len(PRIOR_MEAN))
        slope = fit._objective(at, power)[1]
        off = check_grad(lambda x, p: fit._objective(x, p)[0], lambda x, p: fit._objective(x, p)[1], at, power)
        assert off < 1e-4 * np.linalg.norm(slope)


def test_points_have_the_mean_and_the_covariance_of_the_posterior():
    members, losses = additive(2, share=0.5)
    posterior = scales_posterior(members, losses, np.ones(60), distances(members))
    slopes = np.array([each.slopes for each in posterior.points(np.random.default_rng(0))])
    np.testing.assert_allclose(slopes.mean(axis=0), posterior.mode[SLOPES], atol=1e-12)
    covariance = posterior.root @ posterior.root.T
    np.testing.assert_allclose(np.cov(slopes.T, bias=True), covariance[SLOPES, SLOPES], rtol=1e-9, atol=1e-12)


def test_the_share_of_single_instances_is_found_within_its_doubt():
    # 40 games with a true log ratio of effects to noise; the gap over its doubt has a mean square of about 1. Its sum
    # is below the 99.99 % quantile of chi squared with 40 degrees, 82, and the doubt is no cover for all: above 5.
    gaps = []
    for seed in range(40):
        members, losses = additive(seed, share=0.6)
        posterior = scales_posterior(members, losses / losses.std(axis=0), np.ones(60), distances(members))
        gaps.append((posterior.mode[1] - np.log(0.6 / 0.4)) / np.linalg.norm(posterior.root[1]))
    assert 5.0 < np.sum(np.square(gaps)) < 82.0


@pytest.mark.parametrize(
    ("squares", "low", "high"),
    [
        (lambda rng: rng.normal(size=(4000, 8)) ** 2, 7.0, 8.0),  # independent normal columns, 8 of them
        (lambda rng: np.repeat(rng.normal(size=(4000, 1)), 8, axis=1) ** 2, 0.9, 1.1),  # one, eight times
        (lambda rng: rng.standard_t(5, size=(4000, 1)) ** 2, 0.05, 0.6),  # kurtosis 9: 2 / 8, hardly told by a sample
    ],
)
def test_columns_count_as_much_as_their_squares_vary(squares, low, high):
    assert low < effective_columns(squares(np.random.default_rng(5))) <= high


def test_doubt_falls_as_the_root_of_the_rows():
    doubts = []
    for rows in (50, 200):
        members, losses = additive(7, share=0.5, rows=rows)
        posterior = scales_posterior(members, losses, np.ones(rows), distances(members))
        doubts.append(np.linalg.norm(posterior.root[0]))
    assert doubts[0] / doubts[1] == pytest.approx(2.0, rel=0.3)
