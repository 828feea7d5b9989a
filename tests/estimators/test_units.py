"""Units of draws: whole blocks of them reach the aggregators."""

import itertools

import numpy as np
import pytest

from estimators.aggregators.blocks import blocks_of_rows
from estimators.retrains import Retrains, joined


def rows_of(units):
    count = len(units)
    members = np.zeros((count, 3), dtype=bool)
    return Retrains(members, np.arange(count, dtype=float)[:, None], draws=np.arange(count), units=np.array(units))


@pytest.mark.parametrize("cuts", [[], [1], [3, 4], [10, 11, 29], list(range(1, 40))])
def test_a_block_ends_where_a_unit_ends_however_the_stream_is_cut(cuts):
    whole = rows_of(np.repeat(np.arange(8), 5))
    edges = [0, *cuts, 40]
    stream = [whole.rows(slice(a, b)) for a, b in itertools.pairwise(edges)]
    blocks = list(blocks_of_rows(stream, rows=8))
    assert [len(block.members) for block in blocks] == [10, 10, 10, 10]
    np.testing.assert_array_equal(joined(blocks).losses, whole.losses)


def test_units_of_one_row_give_blocks_of_the_same_size():
    stream = [rows_of(np.arange(21))]
    assert [len(block.members) for block in blocks_of_rows(stream, rows=8)] == [8, 8, 5]


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="units have shape"):
        Retrains(np.zeros((2, 3), dtype=bool), np.zeros((2, 1)), units=np.zeros(3, dtype=np.int64))
