"""What a job may say about a design, and what a design may need of the data."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True)
class Truncation:
    """When a walk stops: after `patience` prefixes in a row whose mean loss is as good as that of D.

    As good: within `tolerance` |L(empty) - L(D)| of L(D). loss: which loss decides; None = the first kept.
    """

    tolerance: float = 0.01
    patience: int = 5
    loss: str | None = None

    def __post_init__(self) -> None:
        if not self.tolerance > 0.0 or self.patience < 1:
            raise ImpossibleDesign(
                f"truncate with tolerance {self.tolerance:g} and patience {self.patience}: take a tolerance above 0 "
                "(0.01 is usual) and a patience of at least 1"
            )


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of all designs; None = not said. `estimators.designs.DESIGNS` tells which design takes which.

    size, fraction, probability: one or several. out: how many instances are left out at a time. group: the column
    whose equal values are left out together. by: what a design is stratified by, `size` or `class`. serves: the
    semivalues that a law of sizes is for, with their shares. order: `random`, `antithetic`, `rotated` or `cyclic`
    walks.
    folds: of a partition. file, digest: of the user's subsets. replicates: retrains of each subset, with other seeds.
    learning_rate: of every step of a walk.
    """

    size: int | tuple[int, ...] | None = None
    fraction: float | tuple[float, ...] | None = None
    probability: float | tuple[float, ...] | None = None
    out: int | None = None
    group: str | None = None
    by: str | None = None
    serves: tuple[tuple[str, float], ...] | None = None
    order: str | None = None
    truncate: Truncation | None = None
    folds: int | None = None
    file: str | None = None
    digest: str | None = None
    replicates: int | None = None
    learning_rate: float | None = None

    def given(self) -> dict[str, Any]:
        """Those that were said, by name, as plain JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @staticmethod
    def read(given: Mapping[str, Any]) -> "Parameters":
        """The parameters from what `given` returned and JSON kept; raises TypeError for unknown names."""
        said = {name: _tuples(value) for name, value in given.items() if value is not None}
        if "truncate" in said:
            said["truncate"] = Truncation(**said["truncate"])
        return Parameters(**said)


NAMES = tuple(each.name for each in fields(Parameters))


@dataclass(frozen=True, slots=True)
class ListedSubsets:
    """The user's own subsets: members [K, n]; log_size_law [n + 1], where they state the law that drew them."""

    members: BoolArray
    log_size_law: FloatArray | None = None

    def digest(self) -> str:
        """A hash of members and law."""
        law = b"" if self.log_size_law is None else self.log_size_law.astype("<f8").tobytes()
        hasher = hashlib.blake2b(np.packbits(self.members, axis=1).tobytes(), digest_size=8)
        hasher.update(b"%d %d" % self.members.shape + law)
        return hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class Material:
    """What designs may need of the data.

    labels: [n] class codes of the players, None for regression or groups. groups: for each column asked for, [n] codes
    of its values and their names. subsets: by file, the user's own.
    """

    labels: IntArray | None = None
    groups: Mapping[str, tuple[IntArray, tuple[str, ...]]] = field(default_factory=dict)
    subsets: Mapping[str, ListedSubsets] = field(default_factory=dict)

    def digest_of(self, column: str) -> str:
        """A hash of a column's groups, whatever they are called."""
        codes, _ = self.groups[column]
        return hashlib.blake2b(codes.astype("<i8").tobytes(), digest_size=8).hexdigest()


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
