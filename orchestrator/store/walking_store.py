"""A store of retrains with the walks of its campaigns beside it: other files, other keys, never mixed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from estimators.walks import Walks, walks_of
from orchestrator.errors import Problem, StoreRefused
from orchestrator.plan import RowId
from orchestrator.store.loss_store import LossStore
from orchestrator.store.row_names import FileId, WrittenRows
from workers.chunk_name import parse_name
from workers.chunk_store import ChunkStore
from workers.chunk_types import Fingerprints
from workers.errors import ChunkError
from workers.walk_file import WalkLosses, decode_walks

WALKS = "walks"


class WalkingStore(LossStore):
    """Retrains as `LossStore` has them; `missing` and `failed` know walks too, whose keys no subset has.

    walking: campaign id -> chunk store of the campaigns that walk.
    """

    def __init__(
        self,
        stores: Mapping[str, ChunkStore],
        fingerprints: Fingerprints,
        *,
        walking: Mapping[str, ChunkStore],
        n: int,
        n_test: int,
        **options: Any,
    ) -> None:
        super().__init__(stores, fingerprints, n=n, n_test=n_test, **options)
        self._walks = LossStore(walking, fingerprints, n=n, n_test=n_test, kind=WALKS)

    def refresh(self, *, listing: bool = False) -> None:
        """See what is there, retrains and walks."""
        super().refresh(listing=listing)
        self._walks.refresh(listing=listing)

    def add(self, campaign: str, name: str, *, written: WrittenRows | None = None) -> None:
        """Note a file that is in the campaign's store now."""
        if parse_name(name, kind=WALKS) is None:
            super().add(campaign, name, written=written)
        else:
            self._walks.add(campaign, name)

    def missing(self, rows: Sequence[RowId]) -> list[int]:
        """Positions of retrains and walks that are neither stored nor recorded as failed."""
        absent = super().missing(rows)
        return [absent[place] for place in self._walks.missing([rows[place] for place in absent])]

    def failed(self, rows: Sequence[RowId]) -> dict[int, str]:
        """Positions of retrains and walks that failed for good, with the reason."""
        return dict(sorted({**super().failed(rows), **self._walks.failed(rows)}.items()))

    def verify(self) -> list[Problem]:
        """Read every file whole; what is damaged, foreign or gone, by name."""
        return [*super().verify(), *self._walks.verify()]

    def walks(self, rows: Sequence[RowId], loss: str) -> Iterator[Walks]:
        """One loss of the walks, one walk at a time in the order asked; failed ones are left out.

        One file is in memory at a time. Raises StoreRefused where a walk is missing, a file is damaged, or does not
        hold the loss.
        """
        opened: tuple[FileId, WalkLosses] | None = None
        self._walks.missing(())  # opens what was added
        for row in rows:
            place = self._walks.place(row)
            if place is None:
                raise StoreRefused(
                    f"walk {row.key.hex()} is not in the store", mend="`apportion resume JOB` trains what is missing"
                )
            if opened is None or opened[0] != place.file:
                opened = place.file, self._decoded_walks(place.file, loss)
            found, own = opened[1], slice(place.row, place.row + 1)
            if not found.failed[place.row]:
                yield walks_of(found.orders[own], found.losses[own], found.columns)

    def _decoded_walks(self, file: FileId, loss: str) -> WalkLosses:
        files = self._walks.chunks
        try:
            return decode_walks(files.stores[file.campaign].get(file.name), loss, name=file.name)
        except ChunkError as error:
            raise StoreRefused([files.problem(file, error)]) from error
