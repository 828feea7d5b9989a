"""A design's row in the table: what it takes, what it costs, and how it is made."""

from dataclasses import dataclass
from typing import Protocol

from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design


class DesignMaker(Protocol):
    """Makes the design for n players."""

    def __call__(self, n: int, seed: int, parameters: Parameters, material: Material) -> Design:
        """Raises ImpossibleDesign where the parameters admit no subset, or the data lack what they name."""
        ...


@dataclass(frozen=True, slots=True)
class DesignEntry:
    """A row of the table of designs.

    parameters: those it takes, all optional. one_of: of these, at most one may be said, and a job file must say one.
    law: its inclusion law and unit, for people.
    """

    name: str
    title: str
    parameters: tuple[str, ...]
    cost: str
    law: str
    make: DesignMaker
    one_of: tuple[str, ...] = ()
