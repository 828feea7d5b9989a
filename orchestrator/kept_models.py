"""Kept models of a campaign, read back: state dicts for estimators that look into models, and for people.

for row, state in kept_models(result.campaign("uniform"), draws=range(10)):
    module.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
"""

from collections.abc import Iterable, Iterator

from estimators.arrays import AnyArray
from orchestrator.campaign import Campaign
from orchestrator.errors import JobError, StoreRefused
from orchestrator.extension.side_tasks import MEND
from orchestrator.plan import RowId
from orchestrator.store.row_names import FileId
from workers.chunk_name import parse_name
from workers.errors import ChunkError
from workers.model_file import KeptModels, beside, decode_models, models_of_chunk
from workers.stored_model import StoredModel

StateDict = dict[str, AnyArray]
"""Parameters and buffers of one model by name; a network's own names."""


def kept_models(
    campaign: Campaign, draws: Iterable[int] | None = None, *, rows: Iterable[RowId] | None = None
) -> Iterator[tuple[RowId, StateDict]]:
    """The models of some draws (default: all), or of rows named, each with its row; failed retrains are left out.

    One file of models is in memory at a time, so rows are best asked in the order of the plan. Raises StoreRefused
    where a row is not stored, was stored without its model, or the file is damaged.
    """
    wanted = list(rows) if rows is not None else _rows_of_draws(campaign, draws)
    failed = campaign.store.failed(wanted)
    reader = _Reader(campaign)
    for place, (row, file) in enumerate(zip(wanted, campaign.store.files_of(wanted), strict=True)):
        if place in failed:
            continue
        if file is None:
            raise StoreRefused(
                f"retrain {row.key.hex()}, replicate {row.replicate}, is not in the store",
                mend="`apportion resume JOB` trains what is missing",
            )
        yield row, reader.model(file, row)


def models_stored(campaign: Campaign, count: int) -> tuple[StoredModel, ...]:
    """Where the models of the first `count` different retrains of a campaign stand, without reading any.

    Raises StoreRefused where one was stored without its model, JobError where there are fewer.
    """
    reader, found = _Reader(campaign), dict.fromkeys(_rows_of_draws(campaign, None))
    failed = campaign.store.failed(list(found))
    rows = [row for place, row in enumerate(found) if place not in failed][:count]
    if len(rows) < count:
        raise JobError(
            f"campaign {campaign.name} has {len(rows):,} different retrains, {count:,} models are asked for",
            mend="raise its `retrains`, or ask for fewer `models`",
        )
    places = []
    for row, file in zip(rows, campaign.store.files_of(rows), strict=True):
        if file is None:
            raise StoreRefused(f"retrain {row.key.hex()} is not in the store", mend="apportion resume JOB trains it")
        places.append(StoredModel(reader.address(file), reader.name(file), row.key, row.replicate))
    return tuple(places)


def _rows_of_draws(campaign: Campaign, draws: Iterable[int] | None) -> list[RowId]:
    chosen = range(campaign.plan.draws) if draws is None else draws
    return [row for draw in chosen for row in campaign.plan.draw_rows(draw, draw + 1).ids]


class _Reader:
    """Models by chunk file; the last file is kept."""

    def __init__(self, campaign: Campaign) -> None:
        self._stores = campaign.store.chunks.stores
        self._names: dict[str, dict[tuple[int, str], str]] = {}
        self._opened: tuple[str, KeptModels, dict[tuple[bytes, int], int]] | None = None

    def model(self, file: FileId, row: RowId) -> StateDict:
        kept, places = self._kept(file)
        if row not in places:
            raise StoreRefused(f"the models beside {file.name} hold none of retrain {row.key.hex()}", mend=MEND)
        return {name: array[places[row]] for name, array in kept.models.items()}

    def _kept(self, file: FileId) -> tuple[KeptModels, dict[tuple[bytes, int], int]]:
        name = self.name(file)
        if self._opened is None or self._opened[0] != name:
            try:
                kept = decode_models(name, self._stores[file.campaign].get(name))
            except ChunkError as error:
                raise StoreRefused(str(error)) from error
            rows = zip(kept.keys, kept.replicates.tolist(), strict=True)
            self._opened = name, kept, {row: place for place, row in enumerate(rows)}
        return self._opened[1], self._opened[2]

    def address(self, file: FileId) -> str:
        """Of the store that a chunk file is in."""
        return self._stores[file.campaign].address

    def name(self, file: FileId) -> str:
        """The file of models beside a chunk file."""
        if file.campaign not in self._names:
            found = ((models_of_chunk(name), name) for name in reversed(self._stores[file.campaign].names()))
            self._names[file.campaign] = {key: name for key, name in found if key is not None}
        chunk = parse_name(file.name)
        name = None if chunk is None else self._names[file.campaign].get(beside(chunk))
        if name is None:
            raise StoreRefused(f"the retrains of {file.name} were stored without their models", mend=MEND)
        return name
