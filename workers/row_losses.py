"""The losses of one retrain, to be compared bit for bit or within a tolerance."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, Float32Array
from workers.learner import Losses


@dataclass(frozen=True, slots=True, eq=False)
class RowLosses:
    """names: of the losses, "train " before those on training instances. values: [n_test] or [n] float32 each."""

    names: tuple[str, ...]
    values: tuple[Float32Array, ...]

    def __eq__(self, other: object) -> bool:
        """The same bits."""
        if not isinstance(other, RowLosses) or self.names != other.names:
            return False
        return all(a.tobytes() == b.tobytes() for a, b in zip(self.values, other.values, strict=True))

    def __hash__(self) -> int:
        """Equal losses, equal hashes."""
        return hash((self.names, tuple(value.tobytes() for value in self.values)))

    def close_to(self, other: "RowLosses", tolerance: float) -> bool:
        """Whether every loss agrees, relative to the largest of its kind."""
        pairs = zip(self.values, other.values, strict=True)
        return all(
            bool(np.all(np.abs(a - b) <= tolerance * max(1.0, float(np.abs(b).max(initial=0.0))))) for a, b in pairs
        )

    def largest_difference(self, other: "RowLosses") -> str:
        """In words: where the two differ most."""
        worst = ("no loss", 0, 0.0)
        for name, a, b in zip(self.names, self.values, other.values, strict=True):
            gaps = np.where(a == b, 0.0, np.abs(a.astype(np.float64) - b))
            gaps = np.where(np.isnan(gaps), np.inf, gaps)
            if len(gaps) and gaps.max() > worst[2]:
                worst = (name, int(gaps.argmax()), float(gaps.max()))
        return f"most at instance {worst[1]} in {worst[0]}, by {worst[2]:.3g}"

    def is_coarse(self) -> bool:
        """Whether all losses are 0 or 1, so that equal ones say little."""
        return all(bool(np.isin(value, (0.0, 1.0)).all()) for value in self.values)

    def among(self, chosen: BoolArray) -> "RowLosses":
        """The same with the training instances (players) [n] chosen alone."""
        pairs = zip(self.names, self.values, strict=True)
        return RowLosses(self.names, tuple(v[chosen] if name.startswith("train ") else v for name, v in pairs))


def row_losses(losses: Losses, row: int) -> RowLosses:
    """The losses of one of K retrains."""
    test = [(name, values[row]) for name, values in losses.test.items()]
    train = [(f"train {name}", values[row]) for name, values in (losses.train or {}).items()]
    return RowLosses(tuple(name for name, _ in test + train), tuple(values for _, values in test + train))
