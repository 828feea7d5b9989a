"""Mean standard errors as a pilot predicts them, against those that the whole campaign then has.

Real learners, fixed seeds; the pilot is the campaign's own first draws, as many as `plan --keep` takes, in ordinary use
(real data, n of 100 and 300, budgets of 2 n to 10 n). The method was made and its weights fitted on other draws of the
data (seeds 1 to 3, 21 and 22); the rules were set before these were drawn:

- of predictions that are not marked "roughly", at least 95 % are within a quarter; allowed is what 95 % would miss with
  a chance of 1 in 1,000 (binomial, predictions of one pilot counted as if they were independent);
- of all mean errors of pairs, marked or not, nine in ten are within a quarter, and two in three are not marked.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats
from trained_losses import TrainedLosses

from estimators.aggregators.blocks import Again, aggregate
from estimators.design_ranking import candidates, ranked
from estimators.designs import make_design
from estimators.pilot_fields import fitted_pilot
from estimators.pilot_length import first_length, next_length
from estimators.planning import PredictedErrors, imagined_errors
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains

SHAPLEY = {"serves": (("shapley", 1.0),)}
CASES = [
    ("banzhaf", "bernoulli", {}),
    ("banzhaf", "paired", {"probability": 0.5}),
    ("shapley", "paired", SHAPLEY),
    ("shapley", "sizes", SHAPLEY),
    ("shapley", "permutation", {}),
    ("beta_shapley", "sizes", {"serves": (("beta_shapley(alpha=4, beta=1)", 1.0),)}),
    ("weighted_banzhaf(probability=0.7)", "bernoulli", {"probability": 0.7}),
    ("expected_leave_one_out(size=%d)", "uniform", {"size": "half"}),
    ("shapley_permutations", "permutation", {"order": "antithetic"}),
    ("banzhaf_least_squares", "paired", {"probability": 0.5}),
    ("banzhaf_sample_reuse", "bernoulli", {}),
    ("downsampling", "uniform", {"fraction": 0.7}),
    ("ame", "bernoulli", {"probability": (0.2, 0.4, 0.6, 0.8)}),
    ("datamodel", "uniform", {"fraction": 0.7}),
]
ORDINARY = [
    ("logistic", "cancer", 100, 10),
    ("ridge", "diabetes", 100, 10),
    ("network", "cancer", 100, 10),
    ("logistic", "digits", 100, 10),
    ("logistic", "cancer", 300, 4),
]
"""Learner, data, n and the most retrains an instance; beside it 2 an instance."""

SEEDS = (11, 12)


@dataclass(frozen=True)
class Outcome:
    """A prediction, of pairs or of data values, over what was delivered."""

    case: tuple
    pairs: bool
    pilot: int
    doubt: float
    rough: bool
    ratio: float

    @property
    def right(self):
        return abs(self.ratio - 1.0) <= 0.25


def case_of(case, n):
    """Value, design and what is said of it, for n instances."""
    value, name, said = case
    if said.get("size") == "half":
        return value % (n // 2), name, {"size": (n // 2 - 1, n // 2)}
    return case


def campaign_of(trained, name, said, count):
    """Its design, and its first rows in whole units."""
    design = make_design(name, n=trained.n, seed=trained.seed, **said)
    count -= count % design.unit_rows
    members = design.draws(0, count)
    return design, Retrains(members, trained.losses(members), None, np.arange(count), design.units(0, count))


def mean_errors(value, design, rows, ends):
    """Of pairs and of data values, after all rows."""
    made = value_method(value).make(loss="loss", ends=ends, design=design)
    found = aggregate(made, Again(lambda: iter([rows])))
    return found.standard_errors.mean(), found.mean.standard_errors.mean()


def predicted(value, design, rows, ends, length, draws) -> PredictedErrors:
    pilot, method = fitted_pilot(rows.rows(slice(0, length)), ends), value_method(value)
    return imagined_errors(lambda some: method.make(loss="loss", ends=some, design=design), pilot, design, draws=draws)


def outcomes(trained, value, name, said, *, budget):
    """Those of the first pilot, of at least 32 draws, and of the one that `plan --keep` ends with."""
    design, rows = campaign_of(trained, name, said, budget)
    draws, ends = len(rows.members), trained.ends()
    if draws < 2 * first_length(design, draws):
        return [], []  # two walks are most of the campaign
    delivered = mean_errors(value, design, rows, ends)
    if not np.isfinite(delivered).all():
        return [], []  # fits of more coefficients than rows
    length, found = first_length(design, draws), []
    while True:
        errors = predicted(value, design, rows, ends, length, draws)
        pair = zip((errors.pair, errors.instance), delivered, strict=True)
        case = (value, name, budget, trained.seed)
        found.append(
            [
                Outcome(case, each is errors.pair, length, each.doubt, each.rough, each.error / true)
                for each, true in pair
            ]
        )
        longer = next_length(design, draws, length, max(errors.pair.settled_by, errors.instance.settled_by))
        if longer == length:
            return found[0], found[-1]
        length = longer


@functools.cache
def table(folder, kind, data, n, most):
    """Outcomes of all cases, budgets and seeds, losses raw and clipped in turn: of first pilots and of final ones."""
    first, last = [], []
    for seed in SEEDS:
        folder.mkdir(exist_ok=True)
        trained = TrainedLosses(kind, folder, n=n, data=data, seed=seed, clip=seed % 2 == 0, n_test=32)
        for case in CASES:
            for budget in sorted({2 * n, most * n}):
                one, other = outcomes(trained, *case_of(case, n), budget=budget)
                first += one
                last += other
    return first, last


def missed(found):
    """Those that are not marked, and of them those off by more than a quarter."""
    trusted = [each for each in found if not each.rough]
    return trusted, [each for each in trusted if not each.right]


def allowed(count):
    """Misses among so many where 95 % are right, exceeded with a chance of 1 in 1,000."""
    return stats.binom.ppf(0.999, count, 0.05)


def told(words, found, trusted, off):
    """Figures for whoever runs the tests with -s."""
    print(words, f"{len(found)} predictions, {len(trusted)} not marked, {len(off)} of these off")  # noqa: T201


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("setting", ORDINARY, ids=lambda setting: "-".join(map(str, setting)))
def test_predictions_that_are_not_marked_come_out_within_a_quarter(folder, setting):
    first, last = table(folder / "-".join(map(str, setting)), *setting)
    for found in (first, last):
        trusted, off = missed(found)
        told(f"{setting}:", found, trusted, off)
        assert len(off) <= allowed(len(trusted)), off


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_of_all_of_them_as_many_and_nearly_all_errors_of_pairs_come_out_within_a_quarter(folder):
    tables = [table(folder / "-".join(map(str, setting)), *setting) for setting in ORDINARY]
    for place in (0, 1):
        found = [each for one in tables for each in one[place]]
        trusted, off = missed(found)
        told("all:", found, trusted, off)
        assert len(off) <= allowed(len(trusted)), off
    pairs = [each for each in found if each.pairs]  # of final pilots
    right = [each for each in pairs if each.right]
    print(f"pairs: {len(pairs)}, {len(right)} right, {sum(each.rough for each in pairs)} marked")  # noqa: T201
    assert len(right) >= 0.9 * len(pairs), [each for each in pairs if not each.right]
    assert sum(not each.rough for each in pairs) >= len(pairs) * 2 / 3


@pytest.mark.parametrize(
    ("value", "name", "said"), [("shapley", "paired", SHAPLEY), ("downsampling", "uniform", {"fraction": 0.7})]
)
def test_a_small_campaign_comes_out_within_a_quarter_or_is_marked(tmp_path, value, name, said):
    trained = TrainedLosses("logistic", tmp_path, n=40, clip=True)
    first, last = outcomes(trained, value, name, said, budget=400)
    assert [each for each in (*first, *last) if not each.right and not each.rough] == []
    assert last[0].right
    assert last[0].doubt <= first[0].doubt


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["ridge", "logistic", "network"])
def test_near_interpolation_and_with_heavy_tails_what_is_off_is_marked(tmp_path, kind):
    """Of 24 instances 1,200 rows leave little of a deterministic learner; cross-entropies of up to 8 are not clipped.

    Of predictions from 32 draws that are off by more than a quarter at least three in four are marked. Not all can be:
    a subset without one of the classes is one in a hundred, and its loss as large as all others together.
    """
    found = []
    for seed in (12, 13):
        trained = TrainedLosses(kind, tmp_path, n=24, seed=seed)
        for case in CASES:
            found += outcomes(trained, *case_of(case, 24), budget=1200)[0]
    trusted, off = missed(found)
    wrong = [each for each in found if not each.right]
    told(f"{kind}:", found, trusted, off)
    assert sum(each.rough for each in wrong) >= len(wrong) * 3 / 4


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["ridge", "logistic", "network"])
def test_the_design_ranked_first_gives_nearly_the_smallest_errors(tmp_path, kind):
    """For one value at a time, two seeds: its error under the design named first is at most 1.25 times the best."""
    data = {"ridge": "diabetes", "logistic": "cancer", "network": "cancer"}[kind]
    for seed in SEEDS:
        trained = TrainedLosses(kind, tmp_path, n=60, data=data, seed=seed, clip=True)
        _, rows = campaign_of(trained, "paired", {"serves": (("shapley", 3.0), ("banzhaf", 1.0))}, 128)
        pilot, ends = fitted_pilot(rows, trained.ends()), trained.ends()
        for value in ("shapley", "banzhaf"):
            every = candidates((value,), trained.n, seed=seed)
            first = ranked(pilot, every, (value,), draws=600)[0].candidate
            errors = {}
            for each in every:
                if not value_method(value).accepts(each.design, 600):
                    count = 600 - 600 % each.design.unit_rows
                    members = each.design.draws(0, count)
                    own = Retrains(
                        members, trained.losses(members), None, np.arange(count), each.design.units(0, count)
                    )
                    errors[each.words] = mean_errors(value, each.design, own, ends)[0]
            print(kind, seed, value, f"{errors[first.words] / min(errors.values()):.3f} of the best")  # noqa: T201
            assert errors[first.words] <= 1.25 * min(errors.values()), errors


def test_designs_that_a_pilot_cannot_tell_apart_are_ties_and_the_simplest_is_named():
    rng = np.random.default_rng(4)
    design = make_design("bernoulli", n=12, seed=1, probability=0.5)
    members = design.draws(0, 48)
    noise = Retrains(members, rng.normal(size=(48, 3)))  # nothing but noise: pairs gain nothing
    ends = EndRows(full=rng.normal(size=(4, 3)), empty=rng.normal(size=3), deterministic=False)
    found = ranked(fitted_pilot(noise, ends), candidates(("banzhaf",), 12, seed=1), ("banzhaf",), draws=400)
    assert found[0].candidate.words == "{design: bernoulli, probability: 0.5}"
    assert any(row.tie and "paired" in row.candidate.words for row in found[1:])


def test_a_pilot_of_parts_of_walks_tells_no_spread_between_walks(tmp_path):
    trained = TrainedLosses("logistic", tmp_path, n=24, clip=True)
    design, rows = campaign_of(trained, "permutation", {}, 480)
    found = predicted("shapley", design, rows.rows(slice(0, 480, 12)), trained.ends(), 40, 480)
    assert np.isfinite(found.pair.error)
    assert found.pair.rough
