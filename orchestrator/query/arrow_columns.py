"""Columns of Arrow tables over memory-mapped arrays, without copying them."""

import binascii

import numpy as np
import pyarrow as pa

from estimators.arrays import AnyArray, ByteArray, Float32Array

_HEX_DIGITS = 32


def numbers(array: AnyArray) -> pa.Array:
    """A column of numbers [R]."""
    kind = pa.from_numpy_dtype(array.dtype)
    return pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(np.ascontiguousarray(array))])


def packed(rows: ByteArray) -> pa.Array:
    """A column of bytes [R, width]."""
    return pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])


def keys(rows: ByteArray) -> pa.Array:
    """Keys [R, 16] as text of 32 hex digits."""
    text = binascii.hexlify(np.ascontiguousarray(rows).tobytes())
    offsets = np.arange(0, _HEX_DIGITS * (len(rows) + 1), _HEX_DIGITS, dtype=np.int64)
    kind = pa.large_string()
    return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(text)])


def lists(table: Float32Array) -> pa.Array:
    """A column of lists [R, length]; null where a row's first number is NaN: its file does not hold the loss."""
    rows, length = table.shape
    flat = pa.Array.from_buffers(pa.float32(), rows * length, [None, pa.py_buffer(table.reshape(-1))])
    absent = np.isnan(table[:, 0])
    kind = pa.list_(pa.float32(), length)
    if not absent.any():
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    valid = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    return pa.Array.from_buffers(kind, rows, [valid], children=[flat])


def texts_by_place(places: AnyArray, texts: list[str]) -> pa.Array:
    """A column of few different texts: places [R] in the list."""
    return pa.DictionaryArray.from_arrays(numbers(places.astype(np.int32)), pa.array(texts, pa.string()))


def one_text(text: str, rows: int) -> pa.Array:
    """A column that says the same in every row, as plain text."""
    return pa.repeat(pa.scalar(text, pa.string()), rows)
