"""A cache that never holds more than its bytes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.store.bounded_cache import BoundedCache


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=60))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_it_gives_what_was_made_and_stays_in_its_bounds(asked):
    cache = BoundedCache(20, len)
    for key, length in asked:
        value = b"%d" % key * length
        found = cache.get((key, length), lambda value=value: value)
        assert found == value
        assert cache.bytes == sum(len(kept) for kept in cache._kept.values()) <= 20


def test_what_was_used_longest_ago_goes_first():
    cache, made = BoundedCache(2, len), []

    def ask(key):
        cache.get(key, lambda: made.append(key) or b"x")

    for key in "abacab":
        ask(key)
    assert made == ["a", "b", "c", "b"]
    cache.clear()
    ask("b")
    assert made[-1] == "b"
    assert len(made) == 5
