"""Designs: what they draw, the law they draw by, and what they refuse."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from estimators.designs import DESIGNS, ListedSubsets, Material, Parameters, Truncation, make_design
from estimators.designs.size_laws import best_size_law, semivalue_sizes
from estimators.errors import ImpossibleDesign, UnknownName

RANDOM = [
    {"name": "uniform", "size": 3},
    {"name": "uniform", "fraction": 0.7},
    {"name": "uniform", "size": (2, 4)},
    {"name": "bernoulli", "probability": 0.5},
    {"name": "bernoulli", "probability": 0.13},
    {"name": "bernoulli", "probability": (0.2, 0.5, 0.8)},
    {"name": "leave_m_out", "out": 2},
    {"name": "sizes", "serves": (("shapley", 1.0),)},
    {"name": "sizes", "serves": (("shapley", 3.0), ("banzhaf", 1.0))},
    {"name": "sizes", "serves": (("beta_shapley(alpha=4, beta=1)", 1.0),)},
    {"name": "stratified", "by": "size", "size": (1, 3, 4)},
    {"name": "stratified", "by": "class", "fraction": (0.4, 0.8)},
    {"name": "paired", "probability": 0.3},
    {"name": "paired", "serves": (("shapley", 1.0),)},
    {"name": "permutation"},
    {"name": "permutation", "order": "antithetic"},
    {"name": "permutation", "order": "cyclic"},
    {"name": "permutation", "order": "rotated"},
    {"name": "kfold", "folds": 3},
    {"name": "uniform", "size": 2, "replicates": 3},
    {"name": "permutation", "order": "antithetic", "replicates": 2},
]
SINGLE = [spec for spec in RANDOM if spec["name"] in {"uniform", "bernoulli", "sizes"} and "replicates" not in spec]
LISTED = [
    {"name": "leave_one_out"},
    {"name": "exhaustive"},
    {"name": "exhaustive", "replicates": 2},
    {"name": "leave_m_out", "group": "source"},
    {"name": "subsets_from_file", "file": "mine.npz"},
]
ALL = [*RANDOM, *LISTED, {"name": "walk", "learning_rate": 0.1}]


def material(n):
    members = np.arange(4 * n).reshape(4, n) % 3 == 0
    return Material(
        labels=np.arange(n) % 3 % 2,
        groups={"source": (np.arange(n) % 3, ("a", "b", "c"))},
        subsets={"mine.npz": ListedSubsets(members)},
    )


def made(spec, *, n=10, seed=5):
    said = {key: spec[key] for key in spec if key != "name"}
    return make_design(spec["name"], n=n, seed=seed, material=material(n), **said)


def one_of_each_unit(design, units):
    """Members [units, n]: of each unit one draw at a random place, so that rows are independent."""
    places = np.random.default_rng(0).integers(design.unit_rows, size=units)
    whole = [
        design.draws(start * design.unit_rows, stop * design.unit_rows)[
            np.arange(stop - start) * design.unit_rows + places[start:stop]
        ]
        for start, stop in ((a, min(a + 4096, units)) for a in range(0, units, 4096))
    ]
    return np.concatenate(whole)


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
        for spec in (RANDOM[1], RANDOM[3])
    }
    assert digests == {"uniform": "27185cfa903492c9", "bernoulli": "96169b3bc34c7352"}


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_the_law_of_sizes_sums_to_one(spec):
    law = made(spec, n=400).log_size_law()
    if spec.get("by") == "class":
        assert law is None
        return
    assert law.shape == (401,)
    assert np.exp(law).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_the_probabilities_of_all_subsets_sum_to_one_and_agree_with_the_law_of_sizes(spec):
    design = made(spec)
    probabilities = np.exp(design.log_probability(everything(10)))
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    if design.log_size_law() is not None:
        by_size = np.bincount(everything(10).sum(axis=1), weights=probabilities)
        np.testing.assert_allclose(by_size, np.exp(design.log_size_law()), atol=1e-14)


def law_holds(design, units, false_alarms):
    """Chi-square of all subsets, and z of every pair's inclusion, over `units` independent draws."""
    n = design.n
    probabilities = np.exp(design.log_probability(everything(n)))
    drawn = one_of_each_unit(design, units)
    observed = np.bincount(drawn.astype(int) @ (1 << np.arange(n)), minlength=2**n)
    expected = units * probabilities
    assert not observed[expected == 0].any()
    rare = (expected > 0) & (expected < 5)
    common = expected >= 5
    statistic = ((observed[common] - expected[common]) ** 2 / expected[common]).sum()
    if rare.any():
        statistic += (observed[rare].sum() - expected[rare].sum()) ** 2 / expected[rare].sum()
    assert stats.chi2.sf(statistic, max(common.sum() + rare.any() - 1, 1)) > false_alarms
    together = np.einsum("k,ki,kj->ij", probabilities, everything(n).astype(float), everything(n).astype(float))
    pairs = drawn.astype(float).T @ drawn / units
    spread = np.sqrt(np.maximum(together * (1 - together), 1e-300) / units)
    certain = (together < 1e-12) | (together > 1 - 1e-12)
    np.testing.assert_allclose(pairs[certain], together[certain], atol=1e-9)
    z = (np.abs(pairs - together) / spread)[~certain]
    assert z.max(initial=0.0) < stats.norm.isf(false_alarms / (2 * n * n))


@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_subsets_are_drawn_as_often_as_their_probability_says(spec):
    # 5,000 units of n = 5, fixed seed; false-alarm rate 1e-4 for the chi-square and as much for all pairs.
    law_holds(made(spec, n=5), 5000, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_the_law_holds_over_a_million_draws(spec):
    # n = 6: at least 10^6 draws of each design, fixed seed; false-alarm rate 1e-4 each.
    design = made(spec, n=6, seed=9)
    law_holds(design, -(-1_000_000 // design.unit_rows), 1e-4)


@pytest.mark.parametrize("spec", [spec for spec in RANDOM if spec.get("by") != "class"], ids=str)
def test_each_instance_is_kept_as_often_as_the_law_says(spec):
    # Binomial bounds for 60 instances over 500 units at 1e-6 each side: false-alarm rate 1.2e-4, fixed seed.
    design = made(spec, n=60, seed=11)
    share = np.exp(design.log_size_law()) @ np.arange(61) / 60
    kept = one_of_each_unit(design, 500).sum(axis=0)
    low, high = stats.binom.ppf([1e-6, 1 - 1e-6], 500, share)
    assert (kept >= low).all()
    assert (kept <= high).all()


@pytest.mark.parametrize("spec", ALL, ids=str)
def test_units_are_whole_runs_of_draws_and_do_not_depend_on_chunks(spec):
    design = made(spec)
    count = 6 * design.unit_rows if design.draw_count is None else design.draw_count
    units = design.units(0, count)
    np.testing.assert_array_equal(units, np.arange(count) // design.unit_rows)
    np.testing.assert_array_equal(design.units(3, count), units[3:])
    np.testing.assert_array_equal(design.replicates(3, count), design.replicates(0, count)[3:])
    assert design.replicates(0, count).max() == spec.get("replicates", 1) - 1
    assert design.least_draws % design.unit_rows == 0


@pytest.mark.parametrize("spec", SINGLE, ids=str)
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


@pytest.mark.parametrize("spec", LISTED, ids=str)
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
        ("uniform", {"probability": 0.5}, "takes size or fraction or replicates, not probability"),
        ("bernoulli", {"probability": 0.0}, "above 0 and below 1"),
        ("bernoulli", {"probability": 1.0}, "above 0 and below 1"),
        ("bernoulli", {"size": 3}, "takes probability or replicates, not size"),
        ("leave_one_out", {"fraction": 0.5}, "takes replicates, not fraction"),
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


def test_a_walk_adds_one_instance_at_a_time_and_its_mirror_adds_them_backwards():
    design = made({"name": "permutation", "order": "antithetic"}, n=6)
    walk, mirror = design.draws(0, 5), design.draws(5, 10)
    np.testing.assert_array_equal(walk.sum(axis=1), [1, 2, 3, 4, 5])
    assert (walk[1:] >= walk[:-1]).all()
    np.testing.assert_array_equal(mirror, ~walk[::-1])


def test_in_a_rotated_unit_walks_are_reversed_and_half_of_n_apart():
    design = made({"name": "permutation", "order": "rotated"}, n=12)
    first, reverse, shifted, both = (design.places(walk) for walk in range(4))
    np.testing.assert_array_equal(first + reverse, 11)
    np.testing.assert_array_equal(shifted + both, 11)
    np.testing.assert_array_equal(np.abs(first - shifted), 6)
    assert (design.places(4) != first).any()


def test_in_a_cyclic_unit_every_instance_joins_once_in_each_quarter():
    design = made({"name": "permutation", "order": "cyclic"}, n=12)
    places = np.stack([design.places(walk) for walk in range(4)])
    np.testing.assert_array_equal(np.sort(places // 3, axis=0), np.arange(4)[:, None].repeat(12, axis=1))
    assert (np.sort(places, axis=1) == np.arange(12)).all()


def test_a_pair_is_a_subset_and_its_complement():
    members = made({"name": "paired", "probability": 0.3}).draws(0, 40)
    np.testing.assert_array_equal(members[::2], ~members[1::2])


def test_in_a_repeat_every_instance_is_left_out_once():
    members = made({"name": "kfold", "folds": 4}).draws(0, 40)
    np.testing.assert_array_equal((~members).reshape(10, 4, 10).sum(axis=1), 1)


def test_groups_of_a_column_are_left_out_in_turn():
    members = made({"name": "leave_m_out", "group": "source"}).draws(0, 3)
    np.testing.assert_array_equal(~members, np.arange(10) % 3 == np.arange(3)[:, None])


def test_the_probability_of_a_draw_is_known_from_its_number_and_explains_its_size():
    design = made({"name": "bernoulli", "probability": (0.2, 0.8)}, n=200)
    drawn = design.drawn_with(0, 400)
    np.testing.assert_array_equal(design.drawn_with(100, 200), drawn[100:200])
    sizes = design.draws(0, 400).sum(axis=1)
    assert sizes[drawn == 0.2].max() < 100 < sizes[drawn == 0.8].min()
    assert stats.binomtest(int((drawn == 0.2).sum()), 400).pvalue > 1e-4


def test_the_law_for_shapley_is_that_of_the_reciprocal_root():
    law = np.exp(made({"name": "sizes"}, n=50).log_size_law())
    sizes = np.arange(1, 50)
    np.testing.assert_allclose(law[1:50] / law[1], np.sqrt(49 / (sizes * (50 - sizes))), rtol=1e-12)


@pytest.mark.parametrize("value", ["shapley", "banzhaf", "beta_shapley(alpha=4, beta=1)", "ame"])
def test_no_other_law_of_sizes_estimates_a_semivalue_with_less_spread(value):
    # mean square of a row's weights over instances: sum_s (p[s-1]^2 / s + p[s]^2 / (n-s)) / pi[s], least for our law
    n = 30
    p, sizes = semivalue_sizes(value, n), np.arange(1, 30)
    costs = p[:-1] ** 2 / sizes + p[1:] ** 2 / (n - sizes)
    law = np.exp(best_size_law(p))[1:n]
    least, rng = (costs / law).sum(), np.random.default_rng(3)
    for _ in range(50):
        other = law * np.exp(0.3 * rng.normal(size=n - 1))
        assert (costs / (other / other.sum())).sum() > least


def test_truncated_walks_publish_no_law_of_sizes():
    assert make_design("permutation", n=9, seed=0, truncate=Truncation()).log_size_law() is None


def test_the_users_own_law_is_taken_at_its_word_and_refused_where_it_contradicts_the_subsets():
    members = np.eye(4, dtype=bool)
    law = np.full(5, -np.inf)
    law[1] = 0.0
    good = Material(subsets={"f": ListedSubsets(members, law)})
    design = make_design("subsets_from_file", n=4, seed=0, material=good, file="f")
    np.testing.assert_array_equal(design.log_size_law(), law)
    wrong = Material(subsets={"f": ListedSubsets(~members, law)})
    with pytest.raises(ImpossibleDesign, match="subset 0 has 3 members, which log_size_law gives no chance"):
        make_design("subsets_from_file", n=4, seed=0, material=wrong, file="f")


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("sizes", {"serves": (("shaply", 1.0),)}, "did you mean shapley"),
        ("sizes", {"serves": (("shapley(alpha=2)", 1.0),)}, "no options, not alpha"),
        ("paired", {"probability": 0.5, "size": 3}, "give one of them"),
        ("paired", {"probability": (0.2, 0.8)}, "one probability"),
        ("kfold", {"folds": 11}, "between 2 and 10"),
        ("leave_m_out", {"out": 10}, "between 1 and 9"),
        ("leave_m_out", {"group": "site"}, "no such column"),
        ("stratified", {"by": "class", "size": 3}, "not `size`"),
        ("uniform", {"size": (3, 3)}, "stands twice"),
        ("subsets_from_file", {}, "needs `file`"),
        ("bernoulli", {"probability": (0.5, 0.5)}, "stands twice"),
    ],
)
def test_parameters_of_the_other_designs_are_refused_with_a_way_out(name, parameters, words):
    with pytest.raises(ImpossibleDesign, match=words):
        make_design(name, n=10, seed=0, material=material(10), **parameters)


def test_parameters_come_back_from_json():
    said = Parameters(size=(2, 3), serves=(("shapley", 1.0),), truncate=Truncation(0.02, 4, "zero_one"), replicates=2)
    assert Parameters.read(json.loads(json.dumps(said.given()))) == said
