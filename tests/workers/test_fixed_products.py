"""Products whose rows have the same bits whatever their number and places."""

import numpy as np
import pytest

from workers.learners.fixed_products import fixed_product, padded, padded_to


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("length", "width"), [(16, 16), (16, 208), (80, 208), (208, 48), (256, 96), (1040, 64)])
def test_a_rows_bits_depend_on_that_row_alone(dtype, length, width):
    random = np.random.default_rng(length + width)
    left = random.normal(size=(640, length)).astype(dtype)
    right = random.normal(size=(length, width)).astype(dtype)
    whole = fixed_product(left, right)
    np.testing.assert_allclose(whole, left.astype(float) @ right.astype(float), rtol=1e-4, atol=1e-3)
    for count in (4, 8, 12, 28, 64, 320):
        for first in (0, 4, 12, 316):
            part = fixed_product(left[first : first + count].copy(), right)
            assert part.tobytes() == whole[first : first + count].tobytes(), (count, first)


def test_padding_adds_zeros_behind():
    array = np.arange(6.0).reshape(2, 3)
    larger = padded_to(array, 4, 16)
    assert larger.shape == (padded(2, 4), padded(3))
    np.testing.assert_array_equal(larger[:2, :3], array)
    assert larger.sum() == array.sum()
    assert padded_to(array, 2, 3) is array
