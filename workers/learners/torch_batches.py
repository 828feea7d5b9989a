"""Which instances a retrain sees at which step, from its members and its seed alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from estimators.arrays import Float32Array, FloatArray, IntArray
from estimators.seeding import generator

ROW_MULTIPLE: Final = 32
BLOCK_NUMBERS: Final = 2**20


def batch_width(batch_size: int, n: int) -> int:
    """Rows of a batch with padding: the most that a subset of n can fill, up to the next multiple of 32.

    Every model's slice of a batch's activations then starts at an aligned address (see torch_alignment).
    """
    return -(-min(batch_size, n) // ROW_MULTIPLE) * ROW_MULTIPLE


@dataclass(frozen=True, slots=True)
class BatchStream:
    """The batches of one retrain.

    members: [m] positions of its training rows, sorted by identity. Each epoch runs through a permutation of them
    from (seed, epoch) alone, in batches of `batch_size`, the last one shorter. skip_single: a last batch of one
    instance is left out (batch normalisation has no variance there). weights: [n_rows] or None.
    """

    members: IntArray
    seed: int
    batch_size: int
    epochs: int
    weights: FloatArray | None = None
    skip_single: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; 0 for the empty subset."""
        full, rest = divmod(len(self.members), self.batch_size)
        return full + (rest > (1 if self.skip_single else 0))

    @property
    def steps(self) -> int:
        """Batches in the whole retrain."""
        return self.epochs * self.steps_per_epoch

    def epoch(self, number: int) -> IntArray:
        """Positions of the training rows in the order in which epoch `number` sees them."""
        order = generator("epoch", self.seed, number).permutation(len(self.members))
        seen: IntArray = self.members[order[: self.steps_per_epoch * self.batch_size]]
        return seen

    def batches(self) -> Iterator[IntArray]:
        """Positions of the rows of each batch, one array a step."""
        for number in range(self.epochs):
            seen = self.epoch(number)
            for start in range(0, len(seen), self.batch_size):
                yield seen[start : start + self.batch_size]

    def coefficients(self, batch: IntArray) -> Float32Array:
        """Weight of each row's loss in the batch's mean: w_i / sum w, or 0 where all weights are 0."""
        if self.weights is None:
            return np.full(len(batch), 1.0 / len(batch), dtype=np.float32)
        chosen = self.weights[batch]
        total = chosen.sum()
        return (chosen / total if total > 0 else np.zeros_like(chosen)).astype(np.float32)


@dataclass(slots=True)
class _PaddedStream:
    """Batches of one retrain as rows of fixed width; the epoch last made is kept."""

    stream: BatchStream
    width: int
    _number: int = -1
    _made: tuple[IntArray, Float32Array] = field(default=(np.zeros(0, np.int64), np.zeros(0, np.float32)))

    def write(self, start: int, rows: IntArray, coefficients: Float32Array) -> None:
        """Fill rows and coefficients [S, width] with steps start to start + S; padding has coefficient 0."""
        # Padding repeats one of the model's own instances, so that no other can touch a bit of it.
        rows[:] = self.stream.members[0] if len(self.stream.members) else 0
        coefficients[:] = 0
        stop = min(start + len(rows), self.stream.steps)
        per_epoch = self.stream.steps_per_epoch
        step = start
        while step < stop:
            number, first = divmod(step, per_epoch)
            count = min(per_epoch - first, stop - step)
            made_rows, made_coefficients = self._epoch(number)
            rows[step - start : step - start + count] = made_rows[first : first + count]
            coefficients[step - start : step - start + count] = made_coefficients[first : first + count]
            step += count

    def _epoch(self, number: int) -> tuple[IntArray, Float32Array]:
        if number != self._number:
            self._made = self._pad(self.stream.epoch(number))
            self._number = number
        return self._made

    def _pad(self, seen: IntArray) -> tuple[IntArray, Float32Array]:
        size = self.stream.batch_size
        rows = np.full((self.stream.steps_per_epoch, self.width), seen[0], dtype=np.int64)
        coefficients = np.zeros(rows.shape, dtype=np.float32)
        if self.stream.weights is None:
            full = len(seen) // size
            if full:
                rows[:full, :size] = seen[: full * size].reshape(full, size)
                coefficients[:full, :size] = np.float32(1.0 / size)
            starts = range(full * size, len(seen), size)
        else:
            starts = range(0, len(seen), size)
        for start in starts:
            batch = seen[start : start + size]
            rows[start // size, : len(batch)] = batch
            coefficients[start // size, : len(batch)] = self.stream.coefficients(batch)
        return rows, coefficients


@dataclass(frozen=True, slots=True)
class BatchBlock:
    """Steps start to start + S of K retrains: rows int64 and coefficients float32, both [S, K, width]."""

    start: int
    rows: IntArray
    coefficients: Float32Array


def batch_blocks(streams: list[BatchStream], width: int) -> Iterator[BatchBlock]:
    """All steps of retrains that run side by side, each at its own t-th step at step t, in blocks of bounded size."""
    padded = [_PaddedStream(stream, width) for stream in streams]
    steps = max(stream.steps for stream in streams)
    length = max(1, BLOCK_NUMBERS // (width * len(streams)))
    for start in range(0, steps, length):
        shape = (min(length, steps - start), len(streams), width)
        rows, coefficients = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.float32)
        for k, stream in enumerate(padded):
            stream.write(start, rows[:, k], coefficients[:, k])
        yield BatchBlock(start=start, rows=rows, coefficients=coefficients)
