"""Functions of losses: the language, what it refuses, and averages over tests."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimators.errors import EstimatorError
from estimators.methods.value_label import AskedLabel, asked_label
from estimators.transforms import Average, parse_expression
from estimators.transforms.averages import average_over

KEPT = ("cross_entropy", "zero_one", "margin")
RNG = np.random.default_rng(0)
LOSSES = {
    "cross_entropy": RNG.exponential(size=(7, 5)).astype(np.float32),
    "zero_one": RNG.integers(0, 2, size=(7, 5)).astype(np.float32),
    "margin": RNG.normal(size=(7, 5)).astype(np.float32),
}
L, Z, M = (LOSSES[name].astype(float) for name in KEPT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clip(cross_entropy, 0.5)", np.minimum(L, 0.5)),
        ("clip(cross_entropy, 0.1, 0.5)", np.clip(L, 0.1, 0.5)),
        ("log(cross_entropy + 1e-3)", np.log(L + 1e-3)),
        ("1 - probability", 1 - np.exp(-L)),
        ("-margin / 2", -M / 2),
        ("max(margin, 0) + min(zero_one, cross_entropy)", np.maximum(M, 0) + np.minimum(Z, L)),
        ("sqrt(abs(margin)) * exp(-cross_entropy)", np.sqrt(np.abs(M)) * np.exp(-L)),
    ],
)
def test_an_expression_is_what_numpy_says(text, expected):
    np.testing.assert_allclose(parse_expression(text, KEPT)(LOSSES), expected, rtol=1e-14)


def test_rank_is_the_share_of_tests_with_a_lower_loss_in_the_same_retrain():
    ranks = parse_expression("rank(cross_entropy)", KEPT)(LOSSES)
    lower = (L[:, None, :] < L[:, :, None]).mean(axis=2)
    same = (L[:, None, :] == L[:, :, None]).mean(axis=2)
    np.testing.assert_allclose(ranks, lower + same / 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clip(cros_entropy, 1)", "did you mean cross_entropy"),
        ("cip(cross_entropy, 1)", "did you mean clip"),
        ("clip(cross_entropy)", "clip takes 2 or 3 arguments, not 1"),
        ("cross_entropy ** 2", "may not stand in an expression"),
        ("(1).__class__", "may not stand"),
        ("__import__('os')", "no function is called '__import__'"),
        ("cross_entropy if 1 else 2", "may not stand"),
        ("[x for x in cross_entropy]", "may not stand"),
        ("log(cross_entropy, base=2)", "may not stand"),
        ("lambda: cross_entropy", "may not stand"),
        ("cross_entropy +", "is no expression"),
        ("1 + 1", "names no loss"),
        ("'a' + cross_entropy", "may not stand"),
        ("1e999 * cross_entropy", "may not stand"),
        ("True * cross_entropy", "may not stand"),
        ("cross_entropy" + " + 1" * 60, "characters"),
        ("-" * 150 + "margin", "nested more than"),
    ],
)
def test_whatever_is_not_of_the_language_is_refused(text, words):
    with pytest.raises(EstimatorError, match=words.replace("(", r"\(")):
        parse_expression(text, KEPT)


def test_probability_needs_cross_entropy():
    with pytest.raises(EstimatorError, match="no loss kept is called 'cross_entropy'"):
        parse_expression("1 - probability", ("zero_one",))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_one_error(text):
    try:
        found = parse_expression(text, KEPT)
    except EstimatorError:
        return
    assert set(found.names) <= set(KEPT)


def test_a_function_that_is_not_finite_is_named_with_the_loss_where_it_is_not():
    with pytest.raises(EstimatorError, match=r"log\(zero_one\) is not finite .* first for zero_one 0"):
        parse_expression("log(zero_one)", KEPT)(LOSSES)


def test_averages_are_over_all_tests_or_each_group_that_occurs():
    classes = (np.array([2, 0, 2, 2, 0]), ("cat", "dog", "fox"))
    by_class = average_over("class", 5, classes)
    assert by_class.names == ("cat", "fox")
    np.testing.assert_allclose(by_class(L), np.stack([L[:, [1, 4]].mean(1), L[:, [0, 2, 3]].mean(1)], 1))
    np.testing.assert_allclose(average_over("test", 5, None)(L), L.mean(axis=1, keepdims=True))
    assert Average("each")(L) is L
    one = by_class(LOSSES["margin"][3:4])
    assert one.tobytes() == by_class(LOSSES["margin"])[3:4].tobytes()


def test_an_average_that_cannot_be_is_refused():
    with pytest.raises(EstimatorError, match="the tests have no class"):
        average_over("class", 5, None)
    with pytest.raises(EstimatorError, match="write one of each, test, class, group"):
        average_over("classes", 5, None)


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("banzhaf", AskedLabel("banzhaf")),
        ("banzhaf of clip(margin, 1)", AskedLabel("banzhaf", "clip(margin, 1)")),
        (
            "beta_shapley(alpha=4, beta=1) of rank(margin) over class",
            AskedLabel("beta_shapley(alpha=4, beta=1)", "rank(margin)", "class"),
        ),
        ("banzhaf over test", AskedLabel("banzhaf", None, "test")),
    ],
)
def test_a_label_holds_value_function_and_average(label, parts):
    assert asked_label(label) == parts
    assert parts.text == label
