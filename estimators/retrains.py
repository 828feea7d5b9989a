"""What an aggregator eats: rows of the loss store, all of one loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Retrains:
    """A block of retrains in plan order.

    members: [K, n] bool. losses: [K, n_test] float32 or float64, in the loss's own unit.
    train_losses: [K, n], the same loss on the training instances, where kept.
    draws: [K] the number of each row in its design's sequence, which the design turns into facts of the draw (the
    probability it was drawn with, its place in a walk). units: [K] the design's unit of each row, whole units only,
    never falling; None = each row is its own. Rows of a walk stand in its order, so that each holds one instance more
    than the row before; a walk that stops short of n - 1 members was truncated there.
    """

    members: BoolArray
    losses: AnyArray
    train_losses: AnyArray | None = None
    draws: IntArray | None = None
    units: IntArray | None = None

    def __post_init__(self) -> None:
        rows, n = self.members.shape
        if self.losses.ndim != 2 or len(self.losses) != rows:
            raise ValueError(f"losses have shape {self.losses.shape}, expected ({rows}, n_test)")
        if self.train_losses is not None and self.train_losses.shape != (rows, n):
            raise ValueError(f"train losses have shape {self.train_losses.shape}, expected ({rows}, {n})")
        for name in ("draws", "units"):
            numbers = getattr(self, name)
            if numbers is not None and numbers.shape != (rows,):
                raise ValueError(f"{name} have shape {numbers.shape}, expected ({rows},)")

    def rows(self, chosen: slice | AnyArray) -> "Retrains":
        """The rows chosen, as a slice, positions or a mask."""
        parts = (self.train_losses, self.draws, self.units)
        return Retrains(
            self.members[chosen], self.losses[chosen], *(None if part is None else part[chosen] for part in parts)
        )


def joined(parts: Sequence[Retrains]) -> Retrains:
    """The rows of all parts, in their order; what one part lacks the whole lacks."""

    def column(name: str) -> AnyArray | None:
        found = [getattr(part, name) for part in parts]
        return None if any(each is None for each in found) else np.concatenate(found)

    return Retrains(
        members=np.concatenate([part.members for part in parts]),
        losses=np.concatenate([part.losses for part in parts]),
        train_losses=column("train_losses"),
        draws=column("draws"),
        units=column("units"),
    )


@dataclass(frozen=True, slots=True)
class EndRows:
    """The two ends of every game: retrains on D and on the empty subset, which every campaign plans first.

    full: [R, n_test] losses of R replicates of D; empty: [n_test] loss of the empty subset. float64.
    full_train: [R, n] and empty_train: [n], where train losses are kept.
    deterministic: the learner declares that its losses do not depend on the seed.
    """

    full: FloatArray
    empty: FloatArray
    deterministic: bool
    full_train: FloatArray | None = None
    empty_train: FloatArray | None = None

    def pivot(self) -> FloatArray:
        """Losses [n_test] of D, the mean over replicates: subtracted before squaring.

        Where replicates agree it is their very value, which their mean may miss by a bit.
        """
        full = self.full.astype(np.float64)
        pivot: FloatArray = np.where(np.ptp(full, axis=0) == 0.0, full[0], full.mean(axis=0))
        return pivot
