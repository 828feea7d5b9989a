"""Lengths of time as people write them."""

import pytest

from workers.durations import is_duration, seconds_of


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(600, 600.0), (0.5, 0.5), ("90 s", 90.0), ("10 min", 600.0), ("1.5h", 5400.0), ("2 d", 172800.0)],
)
def test_numbers_are_seconds_and_texts_have_a_unit(written, seconds):
    assert seconds_of(written) == seconds


@pytest.mark.parametrize("written", [0, -1.0, "", "10", "0 s", "ten min", "10 minutes", "-5 s", "1e3 s"])
def test_what_is_no_length_of_time_says_what_to_write(written):
    assert not is_duration(written)
    with pytest.raises(ValueError, match="10 min"):
        seconds_of(written)
