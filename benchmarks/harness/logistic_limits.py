"""What descents of logistic regressions cannot do without: products and passes over memory, timed alone."""

import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from workers.learners import linear_rows

PARAMETER_PASSES = 106
"""Arrays of the size of the parameters that a step reads or writes: the two loops over 5 pairs 70, the direction, its
slopes and the step 16, learning a pair 10, the preconditioner twice and gradients 10."""
LOGIT_PASSES = 13
"""Arrays of the size of the logits: softmax 9, its labels and weights 2, the products' own 2."""
Shape = tuple[int, int, int, int]
"""Models, logits, rows, columns."""


def steps_of(call: Callable[[], object]) -> Counter[Shape]:
    """How many evaluations of which shapes a call makes, on rows of the models' own."""
    seen: Counter[Shape] = Counter()
    sums = linear_rows.OwnRows.sums

    def counted(self, parameters, residuals):  # noqa: ANN001, ANN202 - as in the class
        seen[(*parameters.shape[:2], *self.features.shape[1:])] += 1
        return sums(self, parameters, residuals)

    linear_rows.OwnRows.sums = counted
    try:
        call()
    finally:
        linear_rows.OwnRows.sums = sums
    return seen


def operations(steps: Counter[Shape]) -> int:
    """Of the products of all evaluations, and of the preconditioners' two a step."""
    return sum(
        count * models * logits * columns * (4 * rows + 4 * columns)
        for (models, logits, rows, columns), count in steps.items()
    )


def seconds_of_products(steps: Counter[Shape], turns: int = 3) -> float:
    """The products alone, in the shapes and layouts that the descents have; the best of a few turns."""
    return sum(count * _best(_products(shape), turns) for shape, count in steps.items())


def bytes_moved(steps: Counter[Shape]) -> int:
    """What the passes over parameters and logits move in float32."""
    return sum(
        4 * count * models * logits * (PARAMETER_PASSES * columns + LOGIT_PASSES * rows)
        for (models, logits, rows, columns), count in steps.items()
    )


def seconds_of_passes(steps: Counter[Shape], turns: int = 3) -> float:
    """The passes alone: sums of two arrays into a third, which NumPy does as fast as memory lets it."""
    total = 0.0
    for (models, logits, rows, columns), count in steps.items():
        for width, passes in ((columns, PARAMETER_PASSES), (rows, LOGIT_PASSES)):
            a, b, c = (np.ones(models * logits * width, dtype=np.float32) for _ in range(3))
            total += count * passes / 3 * _best(lambda a=a, b=b, c=c: np.add(a, b, out=c), turns)
    return total


def _products(shape: Shape) -> Callable[[], None]:
    models, logits, rows, columns = shape
    random = np.random.default_rng(0)
    features, parameters, residuals, inverse = (
        random.normal(size=(models, *size)).astype(np.float32)
        for size in ((rows, columns), (logits, columns), (logits, rows), (columns, columns))
    )

    def run() -> None:
        np.matmul(parameters, features.transpose(0, 2, 1))
        np.matmul(residuals, features)
        np.matmul(parameters, inverse)
        np.matmul(parameters, inverse)

    return run


def _best(call: Callable[[], object], turns: int) -> float:
    """Seconds of a call, among so many others that the clock is no part of it."""
    repeats, best = 20, float("inf")
    for _ in range(turns):
        began = time.perf_counter()
        for _ in range(repeats):
            call()
        best = min(best, (time.perf_counter() - began) / repeats)
    return best
