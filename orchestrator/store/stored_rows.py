"""Rows as readers get them."""

from dataclasses import dataclass

from estimators.arrays import BoolArray, Float32Array


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows in the order asked. members [K, n] bool; losses [K, n_test] and train_losses [K, n] float32.

    failed: [K]; a failed row's losses are NaN.
    """

    members: BoolArray
    losses: Float32Array
    train_losses: Float32Array | None
    failed: BoolArray
