"""A design that goes on from an earlier version's draws has the law of the new version, and independent draws."""

import numpy as np
import pytest
from scipy.stats import chi2

from estimators.designs import design_made
from estimators.designs.continued import Continued
from estimators.designs.parameters import Material, Parameters
from estimators.errors import ImpossibleDesign

DRAWS = 40_000
CASES = {
    "bernoulli": Parameters(probability=0.4),
    "uniform": Parameters(size=3),
}


def made(name, *, n, seed):
    return design_made(name, CASES[name], n=n, seed=seed, material=Material())


def going_on(name, *, n=6, gone=1, added=1, draws=DRAWS):
    """The old set is 0..n-added+gone-1, of which the last `gone` are gone; the last `added` of the new set are new."""
    common = n - added
    old = made(name, n=common + gone, seed=3).draws(0, draws)
    pool = old[~old[:, common:].any(axis=1), :common]
    pool = np.hstack([pool, np.zeros((len(pool), added), dtype=bool)])
    new = np.arange(n) >= common
    return Continued(made(name, n=n, seed=4), new, pool)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("gone", "added"), [(0, 1), (1, 1), (2, 0), (1, 2)])
def test_every_subset_is_as_likely_as_the_law_says(name, gone, added):
    """Chi-square over all subsets; false alarm 0.1 % a case, 0.8 % in all."""
    design = going_on(name, gone=gone, added=added)
    assert design.taken(DRAWS) > 1000
    codes = design.draws(0, DRAWS) @ (1 << np.arange(6))
    everything = (np.arange(64)[:, None] >> np.arange(6)) & 1 == 1
    law = np.exp(design.log_probability(everything))
    if name == "uniform":
        law[everything.sum(axis=1) != 3] = 0.0
    counts = np.bincount(codes, minlength=64)
    assert counts[law == 0].sum() == 0
    expected = DRAWS * law[law > 0]
    statistic = float(((counts[law > 0] - expected) ** 2 / expected).sum())
    assert statistic < chi2.ppf(0.999, len(expected) - 1)


@pytest.mark.parametrize("name", CASES)
def test_following_draws_are_independent(name):
    """The correlation of instance i in draw k and instance j in draw k + 1, against 5 of its standard errors."""
    members = going_on(name).draws(0, DRAWS).astype(float)
    members = (members - members.mean(axis=0)) / members.std(axis=0)
    correlations = members[:-1].T @ members[1:] / (DRAWS - 1)
    assert np.abs(correlations).max() < 5 / np.sqrt(DRAWS)


@pytest.mark.parametrize("name", CASES)
def test_old_draws_stand_in_order_each_once_until_they_are_used_up(name):
    design = going_on(name, n=40, draws=300)
    members = design.draws(0, 2000)
    old = ~(members & design.added).any(axis=1)
    taken = design.taken(2000)
    assert taken == min(len(design.pool), old.sum())
    assert np.array_equal(members[old][:taken], design.pool[:taken])
    fresh = design.base.draws(0, 2000)
    assert np.array_equal(members[~old], fresh[~old])
    assert np.array_equal(members[old][taken:], fresh[old][taken:])


@pytest.mark.parametrize("name", CASES)
def test_draws_do_not_depend_on_how_they_are_cut(name):
    design, whole = going_on(name), going_on(name).draws(0, 1000)
    for start, stop in [(700, 703), (255, 257), (0, 1), (256, 512), (511, 1000)]:
        assert np.array_equal(design.draws(start, stop), whole[start:stop])


def test_what_cannot_be_continued_is_refused():
    added = np.arange(6) >= 5
    pool = np.zeros((2, 6), dtype=bool)
    with pytest.raises(ImpossibleDesign, match="cannot continue"):
        Continued(design_made("leave_one_out", Parameters(), n=6, seed=1, material=Material()), added, pool)
    with pytest.raises(ImpossibleDesign, match="added later"):
        Continued(made("bernoulli", n=6, seed=1), added, ~pool)
