"""What every value of the registry must hold, on every design that it accepts."""

import inspect
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from estimator_material import (
    CASES,
    aggregator_of,
    arrays_of,
    assert_same_bits,
    assert_same_to_rounding,
    design_of,
    draw_count,
    random_game,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from estimators.aggregators.blocks import aggregate, blocks_of_rows
from estimators.designs import DESIGNS, make_design
from estimators.errors import EstimatorError, MissingRows, UnknownName
from estimators.influence import Influence, InstanceValues
from estimators.registry import VALUES, design_entry, value_method
from estimators.retrains import EndRows, Retrains

N, N_TEST, DRAWS = 8, 5, 600
ADAPTIVE = {"shapley", "beta_shapley", "banzhaf", "weighted_banzhaf"}
"""Their estimator counts a subset once however often it is drawn, and takes a matrix of all rows: fewer draws here."""


def campaign(value, design_name, *, game=None, draws=DRAWS):
    game = random_game(N, N_TEST, seed=1) if game is None else game
    design = design_of(design_name, game.n, seed=3)
    draws = 84 if value in ADAPTIVE else draws
    count = draw_count(design, draws - draws % design.unit_rows)
    rows = replace(game.retrains(design.draws(0, count)), units=design.units(0, count))
    return aggregator_of(value, design, game.ends), rows


def cut(rows, edges):
    """Parts of the rows that end with whole units."""
    starts = np.flatnonzero(np.diff(rows.units, prepend=-1, append=-1))
    edges = [0, *sorted(int(starts[starts <= edge].max(initial=0)) for edge in edges), len(rows.members)]
    return [rows.rows(slice(a, b)) for a, b in pairwise(edges)]


def shuffled(rows, seed):
    """The rows with whole units in another order."""
    own = np.split(np.arange(len(rows.members)), np.flatnonzero(np.diff(rows.units)) + 1)
    order = np.random.default_rng(seed).permutation(len(own))
    moved = rows.rows(np.concatenate([own[unit] for unit in order]))
    return replace(moved, units=np.repeat(np.arange(len(own)), [len(own[unit]) for unit in order]))


@pytest.mark.parametrize(("value", "design"), CASES)
def test_results_have_the_shapes_names_and_axes_promised(value, design):
    aggregator, rows = campaign(value, design)
    result = aggregate(aggregator, [rows])
    method = value_method(value)
    assert isinstance(result, InstanceValues if method.per_instance else Influence)
    shape = (N,) if method.per_instance else (N, N_TEST)
    for array in arrays_of(result)[:3]:
        assert array.shape == shape
        assert array.dtype == np.float64
    assert (result.value, result.loss, result.retrains) == (value, "loss", len(rows.members))
    np.testing.assert_array_equal(result.train_index, np.arange(N))
    if not method.per_instance:
        np.testing.assert_array_equal(result.test_index, np.arange(N_TEST))
        assert result.mean.values.shape == (N,)
        if method.linear:
            np.testing.assert_allclose(result.mean.values, result.values.mean(axis=1), atol=1e-12)


@pytest.mark.parametrize(("value", "design"), CASES)
def test_every_known_value_has_a_finite_error(value, design):
    aggregator, rows = campaign(value, design)
    for array in arrays_of(aggregate(aggregator, [rows]))[:2]:
        assert np.isfinite(array).all()


@pytest.mark.parametrize(("value", "design"), CASES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_same_rows_give_the_same_bits_however_the_stream_is_cut(value, design, data):
    aggregator, rows = campaign(value, design)
    count = len(rows.members)
    edges = data.draw(st.lists(st.integers(0, count), max_size=12))
    assert_same_bits(aggregate(aggregator, [rows]), aggregate(aggregator, cut(rows, edges)))


def test_many_columns_and_rows_give_the_same_bits_however_the_stream_is_cut():
    rng = np.random.default_rng(2)
    design = make_design("bernoulli", n=37, seed=2)
    rows = Retrains(design.draws(0, 1111), rng.lognormal(size=(1111, 257)).astype(np.float32))
    ends = EndRows(full=rng.lognormal(size=(3, 257)), empty=np.ones(257), deterministic=False)
    aggregator = aggregator_of("banzhaf_sample_reuse", design, ends)
    whole = aggregate(aggregator, [rows])
    for size in (1, 64, 255, 300, 1000):
        parts = [Retrains(rows.members[k : k + size], rows.losses[k : k + size]) for k in range(0, 1111, size)]
        assert_same_bits(whole, aggregate(aggregator, parts))


@pytest.mark.parametrize(("value", "design"), CASES)
def test_the_order_of_rows_does_not_matter_beyond_rounding(value, design):
    aggregator, rows = campaign(value, design)
    assert_same_to_rounding(aggregate(aggregator, [rows]), aggregate(aggregator, [shuffled(rows, 4)]))


@pytest.mark.parametrize(("value", "design"), CASES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_merging_states_equals_aggregating_together_in_any_grouping(value, design, data):
    aggregator, rows = campaign(value, design)
    edges = data.draw(st.lists(st.integers(0, len(rows.members)), min_size=2, max_size=2))
    a, b, c = (aggregator.update(aggregator.empty(), piece) for piece in cut(rows, edges))
    together = aggregator.finish(aggregator.update(aggregator.empty(), rows))
    for state in (
        aggregator.merge(aggregator.merge(a, b), c),
        aggregator.merge(a, aggregator.merge(b, c)),
        aggregator.merge(aggregator.merge(aggregator.empty(), c), aggregator.merge(b, a)),
    ):
        assert_same_to_rounding(together, aggregator.finish(state))


@pytest.mark.parametrize(("value", "design"), CASES)
def test_merging_leaves_both_states_as_they_were(value, design):
    aggregator, rows = campaign(value, design)
    a, b = (aggregator.update(aggregator.empty(), piece) for piece in cut(rows, [len(rows.members) // 2]))
    before = [[x.copy() for x in arrays_of(aggregator.finish(state))] for state in (a, b)]
    aggregator.update(aggregator.merge(a, b), rows)
    for state, arrays in zip((a, b), before, strict=True):
        for now, then in zip(arrays_of(aggregator.finish(state)), arrays, strict=True):
            assert now.tobytes() == then.tobytes()


@pytest.mark.parametrize(("value", "design"), [case for case in CASES if not VALUES[case[0]].per_instance])
def test_a_result_stays_what_it_was_when_its_state_goes_on(value, design):
    aggregator, rows = campaign(value, design)
    first, second = cut(rows, [len(rows.members) // 2])
    state = aggregator.update(aggregator.empty(), first)
    early = aggregator.finish(state)
    state = aggregator.update(state, second)
    late = aggregate(aggregator, [second])
    assert_same_to_rounding(early + late, aggregator.finish(state))
    assert (early + late).retrains == len(rows.members)


@pytest.mark.parametrize(
    ("value", "design"), [case for case in CASES if case[1] in {"uniform", "bernoulli"} and case[0] not in ADAPTIVE]
)
def test_a_subset_drawn_twice_counts_twice(value, design):
    aggregator, rows = campaign(value, design, draws=120)
    rows = replace(rows, units=None)  # each row a draw of its own
    twice = aggregate(aggregator, [rows, rows])
    once = aggregate(aggregator, [rows])
    np.testing.assert_allclose(twice.values, once.values, atol=1e-12)
    ratio = twice.standard_errors / once.standard_errors
    assert ((ratio > 0.68) & (ratio < np.sqrt(0.5))).all()  # sqrt((k-1) / (2k-1)) of k rows, at least 8


@pytest.mark.parametrize(("value", "design"), CASES)
def test_a_constant_added_to_every_loss_moves_no_influence(value, design):
    game = random_game(N, N_TEST, seed=1)
    moved = type(game)(N, game.losses + 1000.0, game.own + 1000.0)
    first, second = (
        aggregate(aggregator, [rows])
        for aggregator, rows in (campaign(value, design, game=each) for each in (game, moved))
    )
    shift = {"held_out_loss": 1000.0, "c_score": -1000.0, "data_oob": -1000.0}.get(value, 0.0)
    np.testing.assert_allclose(second.values, first.values + shift, atol=1e-9)
    np.testing.assert_allclose(second.standard_errors, first.standard_errors, atol=1e-9)


@pytest.mark.parametrize(("value", "design"), CASES)
def test_without_rows_every_value_is_nan_with_an_infinite_error(value, design):
    aggregator, _ = campaign(value, design)
    result = aggregate(aggregator, [])
    assert np.isnan(result.values).all()
    assert np.isinf(result.standard_errors).all()
    assert not result.certain().any()
    assert np.isinf(result.half_widths() if value_method(value).per_instance else result.mean.half_widths()).all()
    assert result.notes


@pytest.mark.parametrize(("value", "design"), CASES)
def test_a_method_says_what_it_is(value, design):
    method = value_method(value)
    for text in (method.title, method.meaning, method.formula, method.paper, method.equation, method.cost):
        assert text
    assert design in DESIGNS
    assert design_entry(design).title
    assert method.accepts(design_of(design, N)) == ""
    module = inspect.getmodule(type(aggregator_of(value, design_of(design, N), random_game(N, 1, 0).ends)))
    assert "Standard error" in module.__doc__


NO_VALUES_OWN = {
    "leave_m_out": "its rows leave out whole groups: `apportion groups` reads them",
    "subsets_from_file": "the user's own subsets: what they serve depends on what the file lists",
}


def test_each_design_serves_some_value_but_those_with_readers_of_their_own():
    served = {design for method in VALUES.values() for design in method.designs}
    assert served | set(NO_VALUES_OWN) == set(DESIGNS)
    assert not served & set(NO_VALUES_OWN)
    for design in served:  # each by the registry's own words and by what its values accept
        assert any(design in method.designs and not method.accepts(design_of(design, N)) for method in VALUES.values())


def test_a_value_refuses_a_design_by_naming_those_that_do():
    assert "run design uniform" in value_method("downsampling").accepts(design_of("bernoulli", N))
    assert "run design paired or bernoulli" in value_method("banzhaf").accepts(design_of("uniform", N))
    assert "p = 0.3" in value_method("banzhaf_sample_reuse").accepts(
        make_design("bernoulli", n=N, seed=0, probability=0.3)
    )
    assert "of which 3,000 draws hold less than one row" in value_method("shapley").accepts(
        make_design("bernoulli", n=400, seed=0), 3000
    )


@pytest.mark.parametrize(
    ("typed", "nearest"), [("banzaf", "banzhaf"), ("Leave-One-Out", "leave_one_out"), ("shaply", "shapley")]
)
def test_an_unknown_value_is_answered_with_the_nearest_name(typed, nearest):
    with pytest.raises(UnknownName, match=f"did you mean {nearest}"):
        value_method(typed)


@pytest.mark.parametrize("value", [name for name, method in VALUES.items() if method.needs_train_losses])
def test_a_value_of_own_losses_says_when_they_were_not_kept(value):
    aggregator, rows = campaign(value, VALUES[value].designs[0])
    with pytest.raises(MissingRows, match="train_losses: true"):
        aggregate(aggregator, [Retrains(rows.members, rows.losses)])


@pytest.mark.parametrize(("value", "design_name"), [case for case in CASES if case[1] in {"uniform", "bernoulli"}])
def test_the_predicted_error_is_near_the_one_that_the_budget_bought(value, design_name):
    game = random_game(N, N_TEST, seed=1)
    design = design_of(design_name, N, seed=3)
    rows = game.retrains(design.draws(0, 2000))
    result = aggregate(aggregator_of(value, design, game.ends), [rows])
    losses = rows.train_losses if value_method(value).needs_train_losses else rows.losses
    pilot = float(losses[:200].std(axis=0, ddof=1).mean())
    predicted = value_method(value).standard_error(pilot, n=N, retrains=2000, design=design)
    # own losses fall when the instance is in, which the spread over all draws contains: predictions are generous
    least = 0.5 if value_method(value).needs_train_losses else 0.8
    if (
        value in {*ADAPTIVE, "banzhaf_least_squares"} or not value_method(value).linear
    ):  # a surrogate takes part of the spread: bounds
        least = 0.0
    assert least < result.standard_errors.mean() / predicted < 1.1


@given(sizes=st.lists(st.integers(0, 700), max_size=6), rows=st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_blocks_hold_the_same_rows_in_the_same_order(sizes, rows):
    total = sum(sizes)
    losses = np.arange(total, dtype=float)[:, None]
    edges = np.cumsum([0, *sizes])
    stream = [Retrains(np.ones((b - a, 2), dtype=bool), losses[a:b]) for a, b in pairwise(edges)]
    blocks = list(blocks_of_rows(stream, rows))
    assert [len(block.members) for block in blocks] == [rows] * (total // rows) + [total % rows] * (total % rows > 0)
    if blocks:
        np.testing.assert_array_equal(np.concatenate([block.losses for block in blocks]), losses)


@pytest.mark.parametrize(("value", "design"), CASES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_refused_never_averaged_in(value, design, wrong):
    aggregator, rows = campaign(value, design)
    rows.losses[5, 2] = rows.train_losses[5, 2] = wrong
    with pytest.raises(EstimatorError, match=r"^1 of [0-9]+ retrains have losses that are not finite"):
        aggregate(aggregator, [rows])
