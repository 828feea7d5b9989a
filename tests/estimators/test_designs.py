"""Designs: what they draw, the law they draw by, and what they refuse."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from estimators.designs import DESIGNS, make_design
from estimators.errors import ImpossibleDesign, UnknownName

RANDOM = [
    {"name": "uniform", "size": 3},
    {"name": "uniform", "fraction": 0.7},
    {"name": "bernoulli", "probability": 0.5},
    {"name": "bernoulli", "probability": 0.13},
]
ALL = [*RANDOM, {"name": "leave_one_out"}, {"name": "exhaustive"}]


def made(spec, *, n=10, seed=5):
    return make_design(spec["name"], n=n, seed=seed, **{key: spec[key] for key in spec if key != "name"})


def everything(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def test_every_design_is_tested():
    assert {spec["name"] for spec in ALL} == set(DESIGNS)


@pytest.mark.parametrize("spec", ALL, ids=str)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_draws_do_not_depend_on_how_they_are_chunked(spec, data):
    design = made(spec)
    most = 700 if design.draw_count is None else design.draw_count
    whole = design.draws(0, most)
    start = data.draw(st.integers(0, most))
    stop = data.draw(st.integers(start, most))
    np.testing.assert_array_equal(design.draws(start, stop), whole[start:stop])


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_another_seed_draws_other_subsets_and_the_same_seed_the_same(spec):
    first, again, other = made(spec), made(spec), made(spec, seed=6)
    np.testing.assert_array_equal(first.draws(0, 300), again.draws(0, 300))
    assert (first.draws(0, 300) != other.draws(0, 300)).any(axis=1).mean() > 0.5


def test_draws_never_change_between_versions():
    # A stored campaign draws its plan anew. If this fails, every plan out there is lost: mend the code, not the test.
    digests = {
        spec["name"]: hashlib.sha256(np.packbits(made(spec, n=50).draws(250, 260)).tobytes()).hexdigest()[:16]
        for spec in (RANDOM[1], RANDOM[2])
    }
    assert digests == {"uniform": "27185cfa903492c9", "bernoulli": "96169b3bc34c7352"}


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_the_law_of_sizes_sums_to_one(spec):
    law = made(spec, n=400).log_size_law()
    assert law.shape == (401,)
    assert np.exp(law).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_the_probabilities_of_all_subsets_sum_to_one_and_agree_with_the_law_of_sizes(spec):
    design = made(spec)
    probabilities = np.exp(design.log_probability(everything(10)))
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    by_size = np.bincount(everything(10).sum(axis=1), weights=probabilities)
    np.testing.assert_allclose(by_size, np.exp(design.log_size_law()), atol=1e-14)


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_subsets_are_drawn_as_often_as_their_probability_says(spec):
    # Chi-square over all subsets of n = 5 with 20,000 draws, fixed seed, false-alarm rate 1e-4 each.
    design = made(spec, n=5)
    expected = 20_000 * np.exp(design.log_probability(everything(5)))
    drawn = design.draws(0, 20_000).astype(int) @ (1 << np.arange(5))
    observed = np.bincount(drawn, minlength=32)
    assert not observed[expected == 0].any()
    rare = (expected > 0) & (expected < 5)
    common = expected >= 5
    statistic = ((observed[common] - expected[common]) ** 2 / expected[common]).sum()
    if rare.any():
        statistic += (observed[rare].sum() - expected[rare].sum()) ** 2 / expected[rare].sum()
    assert stats.chi2.sf(statistic, common.sum() + rare.any() - 1) > 1e-4


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_each_instance_is_kept_as_often_as_the_law_says(spec):
    # Binomial bounds for 300 instances over 2,000 draws at 1e-6 each side: false-alarm rate 6e-4, fixed seed.
    design = made(spec, n=300, seed=11)
    share = np.exp(design.log_size_law()) @ np.arange(301) / 300
    kept = design.draws(0, 2000).sum(axis=0)
    low, high = stats.binom.ppf([1e-6, 1 - 1e-6], 2000, share)
    assert (kept >= low).all()
    assert (kept <= high).all()


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_successive_draws_and_neighbouring_blocks_are_independent(spec):
    # Overlap of draw k with draws k+1 and k+256 is that of independent subsets: z below 4.5 (7e-6 each).
    design = made(spec, n=40)
    members = design.draws(0, 4096).astype(float)
    sizes = members.sum(axis=1)
    for lag in (1, 256):
        overlap = (members[:-lag] * members[lag:]).sum(axis=1) - sizes[:-lag] * sizes[lag:] / 40
        assert abs(overlap.mean() / (overlap.std() / np.sqrt(len(overlap)))) < 4.5


def test_leave_one_out_leaves_each_instance_out_in_turn():
    design = make_design("leave_one_out", n=7, seed=0)
    np.testing.assert_array_equal(design.draws(0, 7), ~np.eye(7, dtype=bool))
    assert design.draw_count == 7


def test_exhaustive_lists_every_subset_once():
    design = make_design("exhaustive", n=8, seed=0)
    members = design.draws(0, 256)
    assert len(np.unique(members, axis=0)) == 256
    assert not members[0].any()
    assert members[-1].all()


@pytest.mark.parametrize("spec", [{"name": "leave_one_out"}, {"name": "exhaustive"}], ids=str)
def test_listed_subsets_have_log_probability_zero_and_no_law_of_sizes(spec):
    design = made(spec)
    np.testing.assert_array_equal(design.log_probability(design.draws(0, design.draw_count)), 0.0)
    assert design.log_size_law() is None
    assert made({"name": "leave_one_out"}).log_probability(np.ones((1, 10), dtype=bool))[0] == -np.inf


@pytest.mark.parametrize(
    ("fraction", "n", "size"), [(0.7, 4000, 2800), (0.7, 10, 7), (0.07, 100, 7), (0.55, 10, 6), (0.1, 30, 3)]
)
def test_a_fraction_is_rounded_up_to_whole_instances(fraction, n, size):
    assert make_design("uniform", n=n, seed=0, fraction=fraction).size == size


def test_unsaid_parameters_have_the_papers_defaults():
    assert make_design("uniform", n=10, seed=0).size == 7
    assert make_design("bernoulli", n=10, seed=0).probability == 0.5


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("uniform", {"size": 11}, "size 11 out of n = 10"),
        ("uniform", {"size": 0}, "size 0"),
        ("uniform", {"size": 10}, "between 1 and 9"),
        ("uniform", {"fraction": 0.999}, "size 10 out of n = 10"),
        ("uniform", {"fraction": 1.5}, "fraction 1.5"),
        ("uniform", {"size": 3, "fraction": 0.5}, "one of them"),
        ("uniform", {"probability": 0.5}, "takes size or fraction, not probability"),
        ("bernoulli", {"probability": 0.0}, "above 0 and below 1"),
        ("bernoulli", {"probability": 1.0}, "above 0 and below 1"),
        ("bernoulli", {"size": 3}, "takes probability, not size"),
        ("leave_one_out", {"fraction": 0.5}, "no parameters, not fraction"),
    ],
)
def test_impossible_parameters_are_refused_with_a_way_out(name, parameters, words):
    with pytest.raises(ImpossibleDesign, match=words):
        make_design(name, n=10, seed=0, **parameters)


@pytest.mark.parametrize(("name", "n"), [("exhaustive", 21), ("leave_one_out", 1), ("bernoulli", 1), ("uniform", 1)])
def test_too_many_or_too_few_instances_are_refused(name, n):
    with pytest.raises(ImpossibleDesign, match=f"n = {n}"):
        make_design(name, n=n, seed=0)


@pytest.mark.parametrize(("typed", "nearest"), [("unifrom", "uniform"), ("leave-one-out", "leave_one_out")])
def test_an_unknown_design_is_answered_with_the_nearest_name(typed, nearest):
    with pytest.raises(UnknownName, match=f"did you mean {nearest}"):
        make_design(typed, n=10, seed=0)


@pytest.mark.parametrize("span", [(-1, 2), (3, 2)])
def test_draws_that_do_not_exist_are_an_error(span):
    with pytest.raises(ValueError, match="do not exist"):
        made(RANDOM[0]).draws(*span)
    with pytest.raises(ValueError, match="do not exist"):
        made({"name": "exhaustive"}).draws(0, 1025)
