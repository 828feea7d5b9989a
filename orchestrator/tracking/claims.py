"""The board on which drivers of one job write their claims to its lease."""

from dataclasses import dataclass
from typing import Protocol

from orchestrator.tracking.patience import Patience


class Board(Protocol):
    """Where claims stand: a small map of texts that every driver of the job reads and writes, linearisable by key."""

    def claims(self) -> dict[str, str]:
        """Texts by token."""
        ...

    def write(self, token: str, text: str) -> None:
        """Write the claim of a token."""
        ...

    def delete(self, token: str) -> None:
        """Remove the claim of a token; harmless where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class PatientBoard:
    """A board that is asked again while it is away; for the claim, whose steps follow each other."""

    board: Board
    patience: Patience

    def claims(self) -> dict[str, str]:
        """Texts by token."""
        return self.patience(self.board.claims)

    def write(self, token: str, text: str) -> None:
        """Write the claim of a token."""
        self.patience(lambda: self.board.write(token, text))

    def delete(self, token: str) -> None:
        """Remove the claim of a token."""
        self.patience(lambda: self.board.delete(token))
