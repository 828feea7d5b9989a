"""The seam of learners: subsets in, test losses out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from estimators.arrays import BoolArray, Float32Array, SeedArray


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of K retrains.

    test: for each loss kept, [K, n_test] float32. train: the same on the training instances, [K, n], or None.
    """

    test: Mapping[str, Float32Array]
    train: Mapping[str, Float32Array] | None = None


@dataclass(frozen=True, slots=True)
class LearnerTraits:
    """What a learner declares of itself; a smoke retrain checks it.

    deterministic: losses do not depend on the seed.
    membership: "gathers" = copies its members out, so that other instances cannot touch a bit of the losses;
    "masks" = weights them out, so that they may move a rounding (within `tolerance`, relative); "unseen" = holds
    its own data, and membership cannot be checked.
    together: K retrains as one program; otherwise they are looped, for the reason given.
    """

    deterministic: bool
    membership: Literal["gathers", "masks", "unseen"] = "gathers"
    together: bool = False
    reason: str = ""
    tolerance: float = 0.0


class Learner(Protocol):
    """Trains models on subsets and returns their losses.

    Law: row k depends on (members[k], seeds[k]) alone: not on K, on its neighbours, or on the worker.
    """

    @property
    def n(self) -> int:
        """Length of a row of members."""
        ...

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        ...

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses returned."""
        ...

    @property
    def traits(self) -> LearnerTraits:
        """What the learner declares of itself."""
        ...

    @property
    def numeric_class(self) -> str:
        """Libraries, device and precision that fix the last bits: recorded with each row, never refused."""
        ...

    @property
    def together(self) -> int:
        """K, how many retrains train together; 1 where they are looped."""
        ...

    def with_together(self, together: int) -> "Learner":
        """The same learner with another K (a smaller one after running out of memory); a looped one is unchanged."""
        ...

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Train on each row of members [K, n] with its seed [K]; losses [K, n_test]."""
        ...
