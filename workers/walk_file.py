"""A chunk of walks as bytes and back (columns: `workers.chunk_schema`)."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from estimators.arrays import BoolArray, Float32Array, IntArray, SeedArray
from workers.chunk_file import Named, failures_of, file_of, loss_list, losses_of_column, read_table, row_columns
from workers.chunk_name import verify_content
from workers.chunk_rows import check_keys, check_losses
from workers.chunk_schema import loss_column, order_type
from workers.chunk_types import ChunkHeader
from workers.errors import ChunkError


@dataclass(frozen=True, slots=True)
class WalkRows:
    """Rows of a chunk of walks. A failed walk has a reason in `failures` and no losses (NaN in memory, null on disk).

    keys: 16 bytes each, of the orders [rows, n]. seeds: [rows] uint64; replicates, attempts: [rows]; seconds: [rows].
    losses: name -> [rows, n + 1, c + 1] float32, see `workers.walking.Walker.walk`.
    """

    keys: tuple[bytes, ...]
    orders: IntArray
    seeds: SeedArray
    replicates: IntArray
    seconds: Float32Array
    attempts: IntArray
    losses: Mapping[str, Float32Array]
    failures: tuple[str | None, ...] = ()

    @property
    def sizes(self) -> IntArray:
        """Instances of each walk, [rows]."""
        return np.full(len(self.keys), self.orders.shape[1], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class WalkLosses:
    """One loss of a chunk's walks.

    orders: [rows, n]. losses: [rows, n + 1, c + 1] float32, NaN where `failed` [rows]. columns: [c] test instances.
    """

    orders: IntArray
    losses: Float32Array
    columns: IntArray
    failed: BoolArray


def encode_walks(header: ChunkHeader, rows: WalkRows) -> bytes:
    """The chunk as a Parquet file; raises ChunkError where rows do not fit the header or a loss is not finite."""
    if header.kind != "walks":
        raise ChunkError(f"its kind is {header.kind!r}, not walks")
    check_keys(rows.keys, rows.replicates)
    _check_orders(rows.orders, header.n)
    failed = np.array([reason is not None for reason in failures_of(rows)], dtype=np.bool_)
    count, shape = len(rows.keys), (len(rows.keys), header.n + 1, len(header.columns) + 1)
    if set(rows.losses) != {*header.losses} or len(rows.orders) != count:
        raise ChunkError(f"its losses are {[*rows.losses]}, its header says {header.losses}")
    columns = [*row_columns(rows), _order_list(rows.orders)]
    for name in header.losses:
        losses = rows.losses[name]
        if losses.shape != shape or losses.dtype != np.float32:
            raise ChunkError(f"{name}: {losses.dtype} {losses.shape}, expected float32 {shape}")
        flat = losses.reshape(count, -1)
        check_losses(name, flat, failed)
        columns.append(loss_list(flat, failed, header.precision))
    return file_of(header, columns)


def decode_walks(content: bytes, loss: str, *, name: str) -> WalkLosses:
    """Orders and one loss of a chunk of walks whose whole hash is verified.

    Raises ChunkError where it is damaged, holds no walks, or does not hold the loss.
    """
    verify_content(name, content)
    with Named(name):
        header, table = read_table(io.BytesIO(content), None)
        if header.kind != "walks" or loss not in header.losses:
            raise ChunkError(f"it holds {header.kind} with {', '.join(header.losses)}, not walks with {loss}")
        failed = np.array([reason is not None for reason in table["failure"].to_pylist()], dtype=np.bool_)
        flat = losses_of_column(table[loss_column(loss)], failed)
        check_losses(loss, flat, failed)
        orders = table["order"].combine_chunks().flatten().to_numpy().astype(np.int64).reshape(len(flat), header.n)
        _check_orders(orders, header.n)
        return WalkLosses(
            orders=orders,
            losses=flat.reshape(len(flat), header.n + 1, len(header.columns) + 1),
            columns=np.array(header.columns, dtype=np.int64),
            failed=failed,
        )


def _check_orders(orders: IntArray, n: int) -> None:
    if orders.ndim != 2 or orders.shape[1] != n or not (np.sort(orders, axis=1) == np.arange(n)).all():
        raise ChunkError(f"its orders {list(orders.shape)} are not permutations of {n} instances")


def _order_list(orders: IntArray) -> pa.Array:
    values = pa.array(np.ascontiguousarray(orders, dtype=np.int32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, type=order_type(orders.shape[1]))
