"""Influence objects: they add up over disjoint rows, name their axes, and list proponents and opponents."""

from dataclasses import replace

import numpy as np
import pytest
from estimator_material import aggregator_of, assert_same_to_rounding, design_of, random_game

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.errors import EstimatorError, WrongDesign
from estimators.retrains import EndRows, Retrains


def influence(start, stop, *, value="banzhaf_sample_reuse", design=None, ends=None, loss="loss"):
    game = random_game(8, 3, seed=1)
    design = design_of("bernoulli", 8) if design is None else design
    rows = game.retrains(design.draws(start, stop))
    result = aggregate(aggregator_of(value, design, game.ends if ends is None else ends, loss), [rows])
    return replace(result, sources=frozenset({f"draws {start} to {stop}"}))


def test_influences_of_disjoint_rows_add_up_to_that_of_all_rows():
    parts = influence(0, 100) + influence(100, 270) + influence(270, 600)
    whole = influence(0, 600)
    assert_same_to_rounding(parts, whole)
    assert parts.retrains == 600
    assert parts.sources == {"draws 0 to 100", "draws 100 to 270", "draws 270 to 600"}


def test_adding_does_not_change_what_is_added():
    first, second = influence(0, 100), influence(100, 200)
    before = first.values.copy(), second.standard_errors.copy()
    _ = first + second + influence(200, 300)
    np.testing.assert_array_equal(first.values, before[0])
    np.testing.assert_array_equal(second.standard_errors, before[1])


def test_campaigns_with_other_replicates_of_d_add_up_all_the_same():
    rng = np.random.default_rng(3)
    ends = EndRows(full=rng.normal(size=(4, 3)) * 50, empty=np.zeros(3), deterministic=False)
    assert_same_to_rounding(influence(0, 300) + influence(300, 600, ends=ends), influence(0, 600), rtol=1e-7)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"design": make_design("exhaustive", n=8, seed=0), "start": 0, "stop": 256}, "estimate different things"),
        ({"loss": "other"}, "do not add up"),
        ({"value": "downsampling", "design": make_design("uniform", n=8, seed=0)}, "do not add up"),
    ],
)
def test_influences_of_different_things_are_not_added(other, words):
    span = {"start": 300, "stop": 400, **other}
    with pytest.raises(EstimatorError, match=words):
        influence(0, 100) + influence(**span)


def test_downsampling_at_two_sizes_is_not_added():
    first, second = (make_design("uniform", n=8, seed=0, size=size) for size in (3, 5))
    with pytest.raises(WrongDesign, match=r"m = 3 of 8.*m = 5 of 8"):
        influence(0, 50, value="downsampling", design=first) + influence(50, 99, value="downsampling", design=second)


def test_rows_are_not_counted_twice():
    with pytest.raises(EstimatorError, match="count it twice"):
        influence(0, 100) + influence(0, 100)


def test_leave_one_out_of_other_replicates_of_d_is_not_added():
    design = design_of("leave_one_out", 8)
    other = EndRows(full=np.ones((3, 3)), empty=np.zeros(3), deterministic=False)
    first = influence(0, 4, value="leave_one_out", design=design)
    assert_same_to_rounding(
        first + influence(4, 8, value="leave_one_out", design=design),
        influence(0, 8, value="leave_one_out", design=design),
    )
    with pytest.raises(WrongDesign, match=r"v\(D\)"):
        first + influence(4, 8, value="leave_one_out", design=design, ends=other)


def test_axes_are_train_and_test_and_the_transposed_form_is_one_call_away():
    result = influence(0, 200)
    assert result.values.shape == (8, 3)
    np.testing.assert_array_equal(result.transposed(), result.values.T)


def test_the_long_form_has_one_row_for_each_pair():
    frame = influence(0, 200).to_pandas()
    assert list(frame.columns) == ["train_index", "test_index", "value", "loss", "influence", "standard_error"]
    assert len(frame) == 24
    row = frame[(frame.train_index == 5) & (frame.test_index == 1)].iloc[0]
    assert row.influence == influence(0, 200).values[5, 1]
    per_instance = influence(0, 200).data_values().to_pandas()
    assert list(per_instance.columns) == ["train_index", "value", "loss", "data_value", "standard_error"]


def test_proponents_and_opponents_are_the_ends_of_the_ranking_with_errors_and_certainty():
    result = influence(0, 600)
    order = np.argsort(-result.values[:, 2])
    assert result.proponents(2, 3)["train_index"].tolist() == order[:3].tolist()
    assert result.opponents(2, 3)["train_index"].tolist() == order[::-1][:3].tolist()
    shown = result.proponents(2, 8).set_index("train_index")["certain"]
    np.testing.assert_array_equal(shown.sort_index(), result.certain()[:, 2])


def test_an_unknown_value_is_no_proponent():
    design = design_of("bernoulli", 4)
    members = design.draws(0, 60)
    members[:, 2] = True
    losses = np.random.default_rng(0).normal(size=(60, 1))
    ends = EndRows(full=losses[:1], empty=losses[0], deterministic=False)
    result = aggregate(aggregator_of("banzhaf_sample_reuse", design, ends), [Retrains(members, losses)])
    assert sorted(result.proponents(0)["train_index"]) == [0, 1, 3]
