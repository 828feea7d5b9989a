"""Which instances a retrain sees at which step, from its members and its seed alone."""

from collections.abc import Iterator
from dataclasses import dataclass
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

    members: [m] positions of its training rows, sorted by identity. Epoch e runs through the (e + 1)-th permutation
    that a generator draws which is seeded by the retrain's seed alone, in batches of `batch_size`, the last one
    shorter. skip_single: a last batch of one instance is left out (batch normalisation has no variance there).
    weights: [n_rows] or None.
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

    def batch_rows(self, step: int) -> int:
        """Instances in the batch of a step; 0 after the last."""
        if step >= self.steps:
            return 0
        return min(self.batch_size, len(self.members) - step % self.steps_per_epoch * self.batch_size)

    def epochs_from(self, first: int) -> Iterator[IntArray]:
        """Positions of the training rows in the order in which each epoch from `first` on sees them."""
        random, size = generator("epochs", self.seed), len(self.members)
        seen = self.steps_per_epoch * self.batch_size
        for number in range(self.epochs):
            order = random.permutation(size)
            if number >= first:
                yield self.members[order[:seen]]

    def batches(self, first_epoch: int = 0) -> Iterator[IntArray]:
        """Positions of the rows of each batch, one array a step."""
        for seen in self.epochs_from(first_epoch):
            for start in range(0, len(seen), self.batch_size):
                yield seen[start : start + self.batch_size]

    def coefficients(self, batch: IntArray) -> Float32Array:
        """Weight of each row's loss in the batch's mean: w_i / sum w, or 0 where all weights are 0."""
        if self.weights is None:
            return np.full(len(batch), 1.0 / len(batch), dtype=np.float32)
        chosen = self.weights[batch]
        total = chosen.sum()
        return (chosen / total if total > 0 else np.zeros_like(chosen)).astype(np.float32)


class _PaddedStream:
    """Batches of one retrain as rows of fixed width, epoch after epoch."""

    def __init__(self, stream: BatchStream, width: int, start: int) -> None:
        self._stream = stream
        self._width = width
        self._per_epoch = stream.steps_per_epoch
        self._steps = stream.steps
        first = start // max(1, self._per_epoch)
        self._epochs = stream.epochs_from(first) if self._per_epoch else iter(())
        self._number = first - 1
        # Padding repeats one of the model's own instances, so that no other can touch a bit of it.
        self._filler = int(stream.members[0]) if len(stream.members) else 0
        shape = (self._per_epoch, width)
        self._rows = np.full(shape, self._filler, dtype=np.int64)
        self._coefficients = np.zeros(shape, dtype=np.float32)

    def write(self, start: int, rows: IntArray, coefficients: Float32Array) -> None:
        """Fill rows and coefficients [S, width] with steps start to start + S, called in order."""
        stop = min(start + len(rows), self._steps)
        if stop < start + len(rows):
            done = max(0, stop - start)
            rows[done:] = self._filler
            coefficients[done:] = 0
        step = start
        while step < stop:
            number, first = divmod(step, self._per_epoch)
            count = min(self._per_epoch - first, stop - step)
            while self._number < number:
                self._next_epoch()
            rows[step - start : step - start + count] = self._rows[first : first + count]
            coefficients[step - start : step - start + count] = self._coefficients[first : first + count]
            step += count

    def _next_epoch(self) -> None:
        seen, size = next(self._epochs), self._stream.batch_size
        first = self._number < 0 or self._coefficients[0, 0] == 0
        self._number += 1
        full = len(seen) // size
        if full:
            self._rows[:full, :size] = seen[: full * size].reshape(full, size)
        if full < self._per_epoch:
            self._rows[full, : len(seen) - full * size] = seen[full * size :]
        if self._stream.weights is None and not first:
            return
        for number in range(self._per_epoch):
            batch = seen[number * size : (number + 1) * size]
            self._coefficients[number, : len(batch)] = self._stream.coefficients(batch)


@dataclass(frozen=True, slots=True)
class BatchBlock:
    """Steps start to start + S of K retrains: rows int64 and coefficients float32, both [S, K, width]."""

    start: int
    rows: IntArray
    coefficients: Float32Array


def batch_blocks(streams: list[BatchStream], width: int, start: int = 0) -> Iterator[BatchBlock]:
    """Steps from `start` of retrains that run side by side, each at its own t-th step at step t, in bounded blocks."""
    padded = [_PaddedStream(stream, width, start) for stream in streams]
    steps = max(stream.steps for stream in streams)
    length = max(1, BLOCK_NUMBERS // (width * len(streams)))
    for first in range(start, steps, length):
        shape = (min(length, steps - first), len(streams), width)
        rows, coefficients = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.float32)
        for k, stream in enumerate(padded):
            stream.write(first, rows[:, k], coefficients[:, k])
        yield BatchBlock(start=first, rows=rows, coefficients=coefficients)
