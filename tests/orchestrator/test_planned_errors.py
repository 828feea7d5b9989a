"""Mean standard errors as a pilot predicts them, against those that the whole campaign then has.

Real learners, fixed seeds; the pilot is the campaign's own first draws, as many as `plan --keep` takes.
"""

import numpy as np
import pytest
from trained_losses import LEARNERS, TrainedLosses

from estimators.aggregators.blocks import Again, aggregate
from estimators.design_ranking import candidates, ranked
from estimators.designs import make_design
from estimators.planning import enough_draws, fitted_pilot, imagined_errors
from estimators.registry import value_method
from estimators.retrains import Retrains

N, BUDGET = 24, 1200
SHAPLEY = {"serves": (("shapley", 1.0),)}
CASES = [
    ("banzhaf", "bernoulli", {}),
    ("banzhaf", "paired", {"probability": 0.5}),
    ("shapley", "paired", SHAPLEY),
    ("shapley", "sizes", SHAPLEY),
    ("shapley", "permutation", {}),
    ("beta_shapley", "sizes", {"serves": (("beta_shapley(alpha=4, beta=1)", 1.0),)}),
    ("weighted_banzhaf(probability=0.7)", "bernoulli", {"probability": 0.7}),
    ("expected_leave_one_out(size=12)", "uniform", {"size": (11, 12)}),
    ("shapley_permutations", "permutation", {"order": "antithetic"}),
    ("banzhaf_least_squares", "paired", {"probability": 0.5}),
    ("banzhaf_sample_reuse", "bernoulli", {}),
    ("downsampling", "uniform", {"fraction": 0.7}),
    ("ame", "bernoulli", {"probability": (0.2, 0.4, 0.6, 0.8)}),
    ("datamodel", "uniform", {"fraction": 0.7}),
]


@pytest.fixture(scope="module", params=list(LEARNERS))
def trained(request, tmp_path_factory):
    return TrainedLosses(request.param, tmp_path_factory.mktemp(request.param), n=N)


def campaign_of(trained, name, said, count):
    design = make_design(name, n=trained.n, seed=1, **said)
    count -= count % design.unit_rows
    members = design.draws(0, count)
    return design, Retrains(members, trained.losses(members), None, np.arange(count), design.units(0, count))


def mean_error(value, design, rows, ends):
    made = value_method(value).make(loss="loss", ends=ends, design=design)
    return float(aggregate(made, Again(lambda: iter([rows]))).standard_errors.mean())


def ratio_of(trained, value, name, said, *, budget=BUDGET):
    """Predicted from the first draws over delivered by all."""
    design, rows = campaign_of(trained, name, said, budget)
    ends, count = trained.ends(), max(enough_draws(trained.n, budget), 2 * design.unit_rows)
    pilot = fitted_pilot(rows.rows(slice(0, count - count % design.unit_rows)), ends)
    method = value_method(value)
    found = imagined_errors(
        lambda some: method.make(loss="loss", ends=some, design=design), pilot, design, draws=len(rows.members)
    )
    assert not found.rough
    return found.per_pair / mean_error(value, design, rows, ends)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nearly_all_errors_come_out_within_a_quarter_of_what_the_pilot_predicts(trained):
    # Of 14 values and designs at least 11 within a quarter, none off by more than a factor of 1.6 (ridge 11, the others
    # 13 or 14). What is missed is how much of a deterministic learner's interactions 1,200 rows will take up.
    ratios = {(value, name): ratio_of(trained, value, name, said) for value, name, said in CASES}
    off = {case: ratio for case, ratio in ratios.items() if abs(ratio - 1.0) > 0.25}
    assert len(off) <= 3, off
    assert all(1 / 1.6 < ratio < 1.6 for ratio in off.values()), off


@pytest.mark.parametrize(
    ("value", "name", "said"), [("shapley", "paired", SHAPLEY), ("downsampling", "uniform", {"fraction": 0.7})]
)
def test_errors_of_a_small_campaign_are_predicted_within_a_factor_of_one_and_a_half(tmp_path, value, name, said):
    trained = TrainedLosses("logistic", tmp_path, n=16)
    assert 1 / 1.5 < ratio_of(trained, value, name, said, budget=480) < 1.5


@pytest.mark.slow
def test_the_design_ranked_first_gives_the_smallest_errors(trained):
    """For one value at a time: its error under the design ranked first is at most 1.5 times the best of all."""
    _, rows = campaign_of(trained, "paired", {"serves": (("shapley", 3.0), ("banzhaf", 1.0))}, 144)
    pilot, ends = fitted_pilot(rows, trained.ends()), trained.ends()
    for value in ("shapley", "banzhaf"):
        every = candidates((value,), N, seed=1)
        first = ranked(pilot, every, (value,), draws=480)[0].candidate
        errors = {}
        for each in every:
            if not value_method(value).accepts(each.design, 480):
                count = 480 - 480 % each.design.unit_rows
                members = each.design.draws(0, count)
                own = Retrains(members, trained.losses(members), None, None, each.design.units(0, count))
                errors[each.words] = mean_error(value, each.design, own, ends)
        assert errors[first.words] < 1.5 * min(errors.values()), errors
