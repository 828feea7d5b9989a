"""What an aggregator eats: rows of the loss store, all of one loss."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Retrains:
    """A block of retrains in plan order.

    members: [K, n] bool. losses: [K, n_test] float32 or float64, in the loss's own unit.
    train_losses: [K, n], the same loss on the training instances, where kept.
    """

    members: BoolArray
    losses: AnyArray
    train_losses: AnyArray | None = None

    def __post_init__(self) -> None:
        rows, n = self.members.shape
        if self.losses.ndim != 2 or len(self.losses) != rows:
            raise ValueError(f"losses have shape {self.losses.shape}, expected ({rows}, n_test)")
        if self.train_losses is not None and self.train_losses.shape != (rows, n):
            raise ValueError(f"train losses have shape {self.train_losses.shape}, expected ({rows}, {n})")


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
