"""The user's own subsets, in their order, with the law that drew them where they state it."""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

from estimators.arrays import BoolArray, FloatArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import ListedSubsets, Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span
from estimators.designs.single_draws import SingleDraws
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True, eq=False)
class SubsetsFromFile(SingleDraws):
    """Draw k is row k of the file. Without a law they are a list, which values over given subsets alone can use."""

    subsets: ListedSubsets
    file: str

    def __post_init__(self) -> None:
        law = self.subsets.log_size_law
        if law is None:
            return
        if law.shape != (self.n + 1,) or abs(float(logsumexp(law))) > 1e-6:
            raise ImpossibleDesign(
                f"{self.file}: log_size_law has shape {law.shape} and sums to {np.exp(logsumexp(law)):.6g}: give the "
                f"logarithms of the probabilities of the sizes 0 to {self.n}, which sum to 1"
            )
        sizes = self.subsets.members.sum(axis=1)
        impossible = np.flatnonzero(np.isneginf(law[sizes]))
        if len(impossible):
            raise ImpossibleDesign(
                f"{self.file}: subset {impossible[0]} has {sizes[impossible[0]]} members, which log_size_law gives no "
                "chance: state the law that drew them, or none"
            )

    @property
    def n(self) -> int:
        """Number of players."""
        return int(self.subsets.members.shape[1])

    @property
    def name(self) -> str:
        """The registry's name."""
        return "subsets_from_file"

    @property
    def least_draws(self) -> int:
        """All of them."""
        return self.draw_count

    @property
    def draw_count(self) -> int:
        """As many as the file has."""
        return len(self.subsets.members)

    @property
    def label(self) -> str:
        """The design for people."""
        law = "no law stated" if self.subsets.log_size_law is None else "with its law of sizes"
        return f"subsets_from_file ({self.draw_count} of {self.file}, {law}, n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop, self.draw_count)
        return self.subsets.members[start:stop]

    def log_size_law(self) -> FloatArray | None:
        """As stated."""
        return self.subsets.log_size_law

    def log_probability(self, members: BoolArray) -> FloatArray:
        """By the law stated for each row of members [K, n]; without one, 0 for a subset of the file, else -inf."""
        law = self.subsets.log_size_law
        if law is not None:
            sizes = members.sum(axis=1)
            ways: FloatArray = gammaln(self.n + 1) - gammaln(sizes + 1) - gammaln(self.n - sizes + 1)
            return np.asarray(law[sizes] - ways)
        listed = {row.tobytes() for row in np.packbits(self.subsets.members, axis=1)}
        found = [row.tobytes() in listed for row in np.packbits(members, axis=1)]
        return np.where(np.array(found, dtype=np.bool_), 0.0, -np.inf)


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del seed
    if parameters.file is None or parameters.file not in material.subsets:
        raise ImpossibleDesign("subsets_from_file needs `file`: an .npz with `members` [K, n] of booleans")
    subsets = material.subsets[parameters.file]
    if subsets.members.shape[1] != n:
        raise ImpossibleDesign(
            f"{parameters.file}: its subsets are of {subsets.members.shape[1]} instances, but there are {n} here"
        )
    if parameters.digest is not None and subsets.digest() != parameters.digest:
        raise ImpossibleDesign(
            f"{parameters.file} is not the file that this campaign was planned with: put that one back"
        )
    return SubsetsFromFile(subsets, parameters.file)


ENTRY = DesignEntry(
    name="subsets_from_file",
    title="your own subsets: an .npz with `members` [K, n] of booleans, and `log_size_law` [n + 1] if a law drew them",
    parameters=("file", "digest", "replicates"),
    cost="one retrain a subset",
    law="as stated in the file; unit: a subset",
    make=_make,
    one_of=("file",),
)
