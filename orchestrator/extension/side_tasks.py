"""Which kept models have to be asked: one task for each chunk file whose rows the side files lack."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from estimators.arrays import ByteArray
from estimators.seeding import retrain_seeds
from estimators.subsets import pack
from orchestrator.errors import StoreRefused
from orchestrator.plan import Plan, RowId
from orchestrator.store.loss_store import LossStore
from orchestrator.store.row_index import FileId
from workers.chunk_name import parse_name
from workers.chunk_store import ChunkStore
from workers.model_file import beside, models_of_chunk
from workers.outcomes import SideTask

MEND = (
    "models cannot be had afterwards: set `keep: true` in learner and give the job another `name`, which trains its "
    "retrains once more and keeps them"
)


@dataclass(slots=True)
class _FileRows:
    """Rows wanted of one chunk file."""

    ids: list[RowId] = field(default_factory=list)
    members: list[ByteArray] = field(default_factory=list)
    failures: list[str | None] = field(default_factory=list)


def side_tasks(
    plans: Iterable[Plan], store: LossStore, side: LossStore, stores: dict[str, ChunkStore]
) -> list[SideTask]:
    """Tasks for all rows of the plans that are in the store and not among the side rows.

    stores: campaign id -> its chunk store. Raises StoreRefused where retrains are stored without their models.
    """
    made, wanted = list[SideTask](), dict[FileId, _FileRows]()
    together, seed = 1, 0
    for plan in plans:
        _collect(plan, store, side, wanted)
        together, seed = plan.facts.together, plan.facts.learner_seed
    models = {campaign: _models(chunks) for campaign, chunks in stores.items()}
    absent = 0
    for file, rows in wanted.items():
        name = parse_name(file.name)
        assert name is not None, "the store lists chunk files alone"
        kept = models[file.campaign].get(beside(name), "")
        if not kept and None in rows.failures:
            absent += rows.failures.count(None)
            continue
        trained_on = store.keys(file).header.fingerprints.train if store.chunks.has_other_versions else ""
        made.append(_task(file, name.chunk, rows, kept, together=together, learner_seed=seed, trained_on=trained_on))
    if absent:
        total = sum(len(rows.ids) for rows in wanted.values())
        raise StoreRefused(f"{absent:,} of {total:,} retrains were stored without their models", mend=MEND)
    return made


def _collect(plan: Plan, store: LossStore, side: LossStore, wanted: dict[FileId, _FileRows]) -> None:
    """Put the plan's rows that the side store lacks to the file in which they stand."""
    seen = {row for rows in wanted.values() for row in rows.ids}
    for block in plan.all_rows():
        ids, packed = block.ids, pack(block.members)
        files, failed = store.files_of(ids), store.failed(ids)
        for place in side.missing(ids):
            file, row = files[place], ids[place]
            if file is None or row in seen:
                continue
            seen.add(row)
            rows = wanted.setdefault(file, _FileRows())
            rows.ids.append(row)
            rows.members.append(packed[place])
            rows.failures.append(failed.get(place))


def _models(chunks: ChunkStore) -> dict[tuple[int, str], str]:
    """Files of kept models by chunk number and rows hash; of several the smallest name counts."""
    named: Iterator[tuple[tuple[int, str] | None, str]] = ((models_of_chunk(name), name) for name in chunks.names())
    return {key: name for key, name in sorted(named, key=lambda pair: pair[1], reverse=True) if key is not None}


def _task(
    file: FileId, chunk: int, rows: _FileRows, models: str, *, together: int, learner_seed: int, trained_on: str
) -> SideTask:
    keys = [row.key for row in rows.ids]
    replicates = np.array([row.replicate for row in rows.ids], dtype=np.int64)
    return SideTask(
        campaign=file.campaign,
        chunk=chunk,
        members=np.stack(rows.members),
        keys=tuple(keys),
        seeds=retrain_seeds(learner_seed, keys, replicates),
        replicates=replicates,
        together=together,
        models=models,
        failures=tuple(rows.failures),
        trained_on=trained_on,
    )
