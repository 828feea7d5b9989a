"""Whether a learner's losses are what was asked for: names, shapes, types, and numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from estimators.arrays import Float32Array
from workers.learner import Losses

MEND_NON_FINITE = "lower the learning rate, scale the features, or look for a division by zero in a loss of yours"


def shape_trouble(
    losses: Losses, *, rows: int, n: int, n_test: int, names: tuple[str, ...], train: tuple[str, ...]
) -> str:
    """What is wrong with the losses of `rows` retrains, in words; "" where nothing is.

    Wanted: `names` on the test instances [rows, n_test], `train` on the training instances [rows, n], all float32.
    """
    found = losses.train or {}
    if set(losses.test) != set(names) or (train and set(found) != set(train)):
        return (
            f"the learner returned losses {_listed(losses.test)} (on training instances {_listed(found)}), expected"
            f" {_listed(names)} ({_listed(train)})"
        )
    wanted: list[tuple[str, object, tuple[int, int]]] = [(name, losses.test[name], (rows, n_test)) for name in names]
    wanted += [(f"train {name}", found[name], (rows, n)) for name in train]
    for name, values, shape in wanted:
        if not isinstance(values, np.ndarray):
            return (
                f"the learner returned {name} as a {type(values).__name__}, expected a float32 array of shape {shape}"
            )
        if values.dtype != np.float32 or values.shape != shape:
            return f"the learner returned {name} as {values.dtype} of shape {values.shape}, expected float32 {shape}"
    return ""


def non_finite_rows(
    test: Mapping[str, Float32Array], train: Mapping[str, Float32Array], names: Sequence[bytes | str]
) -> dict[int, str]:
    """Rows with a loss that is NaN or infinite, each with a reason: subset, loss, first instance, how many.

    names: of the rows, keys or words.
    """
    reasons: dict[int, str] = {}
    for columns, what in ((test, "test"), (train, "training")):
        for loss, values in columns.items():
            wrong = ~np.isfinite(values)
            for row in np.flatnonzero(wrong.any(axis=1)).tolist():
                first = int(np.argmax(wrong[row]))
                reasons.setdefault(
                    row,
                    f"subset {_word(names[row])}: {loss} is {values[row, first]} at {what} instance {first}, and at"
                    f" {int(wrong[row].sum())} of {values.shape[1]} in all; {MEND_NON_FINITE}",
                )
    return dict(sorted(reasons.items()))


def _word(name: bytes | str) -> str:
    return name.hex() if isinstance(name, bytes) else name


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
