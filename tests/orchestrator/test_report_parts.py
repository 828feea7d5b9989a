"""The figures behind the report, against independent answers."""

import io
import itertools
import math
from base64 import b64decode

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from report_material import N, dataset, influence, instance_values, report_input

from orchestrator.report.axes import BOTTOM, LEFT, RIGHT, TOP, horizontal, round_step, vertical
from orchestrator.report.certainty import certain_pairs
from orchestrator.report.charts import Series, histogram, lines, ranked
from orchestrator.report.explained_tests import choose
from orchestrator.report.headline import headline
from orchestrator.report.page import render
from orchestrator.report.phrases import MINUS, UNKNOWN, clean, duration, interval, listed, number, percent, shorten
from orchestrator.report.pictures import drawing_of
from orchestrator.report.suspicion import detection, errors_met, scores_of
from orchestrator.report.tops import top_lists

finite = st.floats(-1e9, 1e9, allow_nan=False)


def test_certain_pairs_are_those_of_the_whole_matrix_at_once():
    rng = np.random.default_rng(4)
    plain = influence(n=300, n_test=300, strong=20)
    values, errors, degrees = (a.copy() for a in (plain.values, plain.standard_errors, plain.degrees_of_freedom))
    values[5:9], errors[5:9] = np.nan, np.inf
    errors[10:13] = 0.0
    values[11] = 0.0
    degrees[20:30] = rng.integers(0, 3, size=(10, 300))
    odd = type(plain)(plain.value, plain.loss, values, errors, degrees, plain.mean, plain.train_index, plain.test_index)
    np.testing.assert_array_equal(certain_pairs(odd), odd.certain())
    assert 0 < certain_pairs(odd).sum() < odd.values.size


def test_what_a_value_was_asked_on_is_said_wherever_it_is_named():
    plain, clipped = influence(), influence(loss="clip(cross_entropy, 0.5)", seed=2)
    by_class = influence(n_test=2, loss="cross_entropy over class", seed=3)
    page = render(report_input(influences=[plain, clipped, by_class], influence_campaigns=["a"] * 3))
    assert "Banzhaf of clip(cross_entropy, 0.5)" in page
    assert "Banzhaf of cross_entropy over class" in page
    assert "on clip(cross_entropy, 0.5)</span>" in page
    contents = report_input(influences=[clipped, by_class], influence_campaigns=["a"] * 2)
    assert str(headline(contents, [], [certain_pairs(clipped)])[0]).startswith("Banzhaf of clip(cross_entropy, 0.5): ")
    assert sorted(name for name in top_lists(contents) if "banzhaf" in name) == [
        "top/banzhaf-clip_cross_entropy__0.5_-a-pairs.csv",
        "top/banzhaf-clip_cross_entropy__0.5_-a.csv",
        "top/banzhaf-cross_entropy_over_class-a.csv",
    ]


def test_averages_over_tests_are_not_shown_as_test_instances():
    contents = report_input(influences=[influence(n_test=2, loss="cross_entropy over class")])
    assert contents.shown_influences() == []
    page = render(contents)
    assert 'id="tests"' not in page
    assert 'id="pairs"' not in page
    assert "over class" in page


def test_errors_met_are_the_mean_over_all_orders_of_ties():
    values = instance_values("memorization", [1.0, 2.0, 1.0, 1.0, 0.0])
    (score,) = scores_of(report_input(data=dataset(n=5), influences=[], instance_values=[values]))
    known = np.array([True, False, False, True, True])
    orders = [[1, *tied, 4] for tied in itertools.permutations([0, 2, 3])]
    np.testing.assert_allclose(errors_met(score, known), np.mean([np.cumsum(known[o]) for o in orders], axis=0))


def test_an_instance_of_unknown_suspicion_is_reviewed_last():
    values = instance_values("memorization", [np.nan, 2.0, 1.0, 3.0])
    contents = report_input(influences=[], instance_values=[values])
    (score,) = scores_of(contents)
    assert score.order[:3].tolist() == [3, 1, 2]
    assert 0 in score.order[3:].tolist()


def test_a_low_value_on_the_mean_test_loss_is_suspicious_and_so_is_high_memorization():
    contents = report_input()
    known = contents.known_label_errors
    memorization, _, banzhaf = scores_of(contents)
    assert int(memorization.order[0]) == int(np.argmax(contents.instance_values[0].values))
    assert int(banzhaf.order[0]) == int(np.argmin(contents.influences[0].data_values().values))
    found = detection(memorization, known, 0.1)
    assert (found.reviewed, found.found, found.precision, found.recall) == (4, 4, 1.0, 1.0)


def test_test_instances_are_chosen_by_certain_influences_then_by_loss():
    losses = np.array([0.1, 0.9, 0.5, 0.7, np.nan, 0.3])
    assert choose(losses, np.array([0, 0, 3, 0, 5, 1]), 4) == [4, 2, 1, 3]
    assert choose(losses, np.zeros(6, dtype=np.int64), 3) == [1, 3, 2]
    assert choose(None, np.array([0, 0, 3]), 9) == [2, 0, 1]
    assert len(choose(losses, np.arange(6), 200)) == 6


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (1, 4, 6), (24,)])
def test_a_grey_picture_holds_the_features_scaled_between_their_extremes(shape):
    features = np.random.default_rng(7).normal(size=(3, *shape))
    drawing = drawing_of(features, (4, 6) if shape == (24,) else None, pictures=1)
    pixels = np.asarray(Image.open(io.BytesIO(b64decode(drawing.uri(features[1]).partition(",")[2]))))
    scaled = 255 * (features[1].reshape(4, 6) - features.min()) / (features.max() - features.min())
    np.testing.assert_allclose(pixels, scaled, atol=0.51)


def test_channels_may_come_first_or_last():
    red = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    red[..., 0] = 255
    for features in (red, np.moveaxis(red, -1, 1)):
        uri = drawing_of(features, None, pictures=1).uri(features[0])
        image = Image.open(io.BytesIO(b64decode(uri.partition(",")[2]))).convert("RGB")
        assert image.getpixel((4, 4)) == (255, 0, 0)


def test_features_that_are_not_finite_or_all_the_same_are_drawn_all_the_same():
    features = np.full((2, 5, 5), np.nan)
    assert drawing_of(features, None, pictures=1).uri(features[0]).startswith("data:image/png")
    assert drawing_of(np.ones((2, 5, 5)), None, pictures=1).uri(np.ones((5, 5))).startswith("data:image/png")


@pytest.mark.parametrize(("shape", "given"), [((30,), None), ((2, 3, 4, 5), None), ((30,), (4, 5)), ((7, 6, 5), None)])
def test_what_is_no_image_is_not_drawn(shape, given):
    assert drawing_of(np.zeros((2, *shape)), given, pictures=1) is None


@example(0.0, 5e-324, False)
@example(1e-323, 2e-323, True)
@example(0.55, 0.55 + 1e-15, False)  # a cosine with itself, summed
@given(finite, finite, st.booleans())
def test_an_axis_holds_its_data_between_its_ends_with_few_ticks(a, b, tight):
    axis = horizontal("x", [a, b], tight=tight)
    assert axis.low <= min(a, b) <= max(a, b) <= axis.high
    assert all(LEFT - 0.1 <= tick.place <= RIGHT + 0.1 for tick in axis.ticks)
    assert len(axis.ticks) <= 8


def test_round_steps_are_one_two_or_five():
    assert [round_step(x) for x in (0.9, 1.0, 1.1, 0.03, 60.0)] == [1.0, 1.0, 2.0, 0.05, 100.0]


def test_a_histogram_counts_every_finite_value_once():
    rng = np.random.default_rng(8)
    groups = [(Series("a", "pro"), rng.normal(size=500)), (Series("b", "con"), np.array([0.0, np.nan, np.inf]))]
    chart = histogram("t", "u", groups)
    unit = abs(chart.y.place(1.0) - chart.y.place(0.0))
    counted = sum(bar.height for bar in chart.bars) / unit
    assert counted == pytest.approx(501, rel=0.02)
    assert all(TOP - 0.1 <= bar.top <= BOTTOM for bar in chart.bars)


def test_charts_of_nothing_known_are_not_drawn():
    nothing = np.full(4, np.nan)
    assert histogram("t", "u", [(Series("a", "pro"), nothing)]) is None
    assert ranked("t", "u", nothing, nothing, np.zeros(4, dtype=bool)) is None
    axis = horizontal("x", []), vertical("y", [])
    assert lines("t", *axis, [(Series("a", "one"), [1.0, 2.0], [math.nan, math.nan])]) is None


def test_a_ranked_chart_keeps_both_ends_and_thins_the_middle():
    values = np.random.default_rng(9).normal(size=5000)
    chart = ranked("t", "u", values, np.full(5000, 0.1), np.abs(values) > 2)
    assert len(chart.dots) < 200
    assert chart.dots[0].y == chart.y.place(values.max())
    assert chart.dots[-1].y == chart.y.place(values.min())
    assert {dot.style for dot in chart.dots} == {"pro", "con", "mute"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(0.0123456), "0.0123"),
        (number(12345.6), "12,300"),
        (number(-0.5), MINUS + "0.500"),
        (number(1.234e-12), f"1.23·10^{MINUS}12"),
        (number(math.nan), UNKNOWN),
        (number(math.inf), UNKNOWN),
        (interval(0.01234, 0.0045), "0.0123 ± 0.0045"),
        (interval(-12.3, 4.56), MINUS + "12.3 ± 4.6"),
        (interval(1.0, math.inf), "1.00 ± unknown"),
        (interval(math.nan, 1.0), UNKNOWN),
        (interval(0.5, 0.0), "0.500 ± 0"),
        (interval(123.4, 250.0), "123 ± 250"),
        (percent(0.1), "10 %"),
        (percent(0.0004), "0.040 %"),
        (percent(0.0), "0 %"),
        (percent(math.nan), UNKNOWN),
        (duration(8.44), "8.4 s"),
        (duration(59.97), "1 min 0 s"),
        (duration(192.0), "3 min 12 s"),
        (duration(3599.8), "1 h 0 min"),
        (duration(3600 * 7.2), "7 h 12 min"),
        (duration(3600 * 27.0), "1 d 3 h"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (shorten("abcdef", 4), "abc…"),
    ],
)
def test_numbers_and_lists_are_worded(said, expected):
    assert said == expected


@given(st.text())
def test_clean_text_is_printable_and_cleaning_again_changes_nothing(text):
    cleaned = clean(text)
    assert cleaned == clean(cleaned)
    assert not set(itertools.chain(range(32), range(0x202A, 0x202F), (0x2028,))) & {ord(c) for c in cleaned}
    cleaned.encode("utf-8")


def test_the_most_suspicious_are_named_as_the_data_name_them():
    contents = report_input(known_label_errors=None, train_names=[f"patient {i}" for i in range(N)])
    said = headline(contents, scores_of(contents), [certain_pairs(each) for each in contents.shown_influences()])
    first = next(score for score in scores_of(contents) if score.self_score).order[0]

    assert any(f"#{first} patient {first}" in sentence for sentence in said)
