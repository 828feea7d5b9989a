"""The plan of a campaign: a fixed sequence of rows, cut into chunks.

Position 0.. are the end rows (replicates of D, then the empty subset), then the design's draws. Position p
depends on (job, p) alone, so a plan can be resumed, extended and replayed. What fixes bits (K) and what
names chunks (their length) is decided once, before the first chunk, and stored beside the chunks.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from estimators.arrays import BoolArray, ByteArray, IntArray
from estimators.designs import Material, Parameters, design_made
from estimators.designs.protocol import DRAWS_PER_BLOCK, Design
from estimators.designs.walk import Walk
from estimators.seeding import retrain_seeds
from estimators.subsets import identity_order, pack, subset_keys
from workers.errors import ChunkError
from workers.outcomes import ChunkTask, walk_task
from workers.walking import walk_keys

PLAN_FILE = "plan.json"
SECONDS_PER_CHUNK = 5.0
BYTES_PER_CHUNK = 64 * 2**20
MOST_END_REPLICATES = 16


class RowId(NamedTuple):
    """What names a row within one store: the subset's key and the replicate."""

    key: bytes
    replicate: int


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What is decided once a campaign and stored as `plan.json`.

    together: K. chunk_rows: plan positions a chunk. end_replicates: retrains of D. losses: names kept, the first
    is the default. train_losses: kept on the training instances too. deterministic: losses do not depend on seeds.
    pool: the file of an earlier version's draws that the design goes on from; before: that version of the training set.
    """

    campaign: str
    design: str
    parameters: Parameters
    seed: int
    learner_seed: int
    n: int
    together: int
    chunk_rows: int
    end_replicates: int
    losses: tuple[str, ...]
    train_losses: bool
    deterministic: bool
    format_version: int = 1
    pool: str = ""
    before: str = ""

    def encode(self) -> bytes:
        """The facts as JSON, the same bytes for the same facts."""
        facts = {**asdict(self), "parameters": self.parameters.given()}
        if not self.pool:
            del facts["pool"], facts["before"]
        return json.dumps(facts, sort_keys=True, indent=1).encode()

    @staticmethod
    def decode(content: bytes) -> "PlanFacts":
        """The facts read back; unknown keys mean a newer format and raise TypeError, damage raises ChunkError."""
        try:
            facts = json.loads(content)
        except ValueError as error:
            raise ChunkError(
                f"{PLAN_FILE} is damaged: set it aside with `apportion verify JOB --repair`, then go on with `resume`"
            ) from error
        parameters = Parameters.read(facts["parameters"])
        return PlanFacts(**{**facts, "losses": tuple(facts["losses"]), "parameters": parameters})

    def design_of(self, material: Material) -> Design:
        """The design anew; material: what it needs of the data. Raises ImpossibleDesign where the data are others."""
        return design_made(self.design, self.parameters, n=self.n, seed=self.seed, material=material)


@dataclass(frozen=True, slots=True)
class PlanRows:
    """Consecutive positions of the plan: members [rows, n], keys, replicates [rows]; orders [rows, n] of walks."""

    start: int
    members: BoolArray
    keys: tuple[bytes, ...]
    replicates: IntArray
    orders: IntArray | None = None

    @property
    def ids(self) -> list[RowId]:
        """Row names, in plan order."""
        return [RowId(key, replicate) for key, replicate in zip(self.keys, self.replicates.tolist(), strict=True)]

    def part(self, kept: IntArray) -> "PlanRows":
        """Some of the rows; `start` stays that of the block."""
        return PlanRows(self.start, self.members[kept], tuple(self.keys[k] for k in kept), self.replicates[kept])


class Plan:
    """The rows and chunks of one campaign of `draws` draws."""

    def __init__(self, facts: PlanFacts, design: Design, identities: ByteArray, draws: int) -> None:
        self.facts = facts
        self.design = design
        self.draws = draws
        self._identities = identities
        self._order = identity_order(identities)
        self._keys: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def cut(self, draws: int) -> "Plan":
        """The same plan with another number of draws; keys already hashed are shared."""
        plan = Plan(self.facts, self.design, self._identities, draws)
        plan._keys = self._keys
        return plan

    @property
    def ends(self) -> int:
        """Number of end rows, which stand before the draws."""
        return self.facts.end_replicates + 1

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.ends + self.draws

    def end_rows(self) -> PlanRows:
        """The end rows: replicates of D, then the empty subset."""
        replicates = self.facts.end_replicates
        members = np.zeros((replicates + 1, self.facts.n), dtype=np.bool_)
        members[:replicates] = True
        places = np.append(np.arange(replicates), 0)
        return PlanRows(0, members, tuple(subset_keys(members, self._identities, self._order)), places)

    def draw_rows(self, start: int, stop: int) -> PlanRows:
        """The rows of draws start..stop-1 (positions start + ends ...)."""
        if isinstance(self.design, Walk):
            return self._walk_rows(self.design, start, stop)
        members = self.design.draws(start, stop)
        keys = self._keys.get((start, stop))
        if keys is None:  # hashing costs ten times drawing: keys are kept, members are drawn again
            keys = self._keys[start, stop] = tuple(subset_keys(members, self._identities, self._order))
        return PlanRows(start + self.ends, members, keys, self.design.replicates(start, stop))

    def _walk_rows(self, design: Walk, start: int, stop: int) -> PlanRows:
        orders = design.orders(start, stop)
        keys = self._keys.get((start, stop))
        if keys is None:
            keys = self._keys[start, stop] = tuple(walk_keys(orders, self._identities, design.rate))
        return PlanRows(start + self.ends, design.draws(start, stop), keys, design.replicates(start, stop), orders)

    def blocks_of_draws(self, start: int = 0, stop: int | None = None) -> Iterator[PlanRows]:
        """The rows of draws start..stop-1, cut at multiples of 256."""
        stop = self.draws if stop is None else stop
        while start < stop:
            end = min(stop, (start // DRAWS_PER_BLOCK + 1) * DRAWS_PER_BLOCK)
            yield self.draw_rows(start, end)
            start = end

    def all_rows(self, draws: int | None = None) -> Iterator[PlanRows]:
        """End rows, then the draws (the first `draws` of them) by blocks of 256."""
        yield self.end_rows()
        yield from self.blocks_of_draws(0, draws)

    def row_ids(self, draws: int | None = None) -> list[RowId]:
        """Row names of the end rows and the draws (the first `draws` of them), in plan order, repeats kept."""
        return [row for rows in self.all_rows(draws) for row in rows.ids]

    def tasks(self, wanted: set[RowId], draws: int | None = None) -> Iterator[ChunkTask]:
        """Chunks that train the wanted rows, each row once, in plan order.

        Chunk i holds the wanted rows first met at positions i chunk_rows .. (i + 1) chunk_rows - 1, so that its
        number, and the rows it may hold, do not depend on what is there already.
        """
        remaining = set(wanted)
        chunk, picked = (-1, False), list[_Picked]()
        for rows in self.all_rows(draws):
            packed = pack(rows.members)
            for offset, row_id in enumerate(rows.ids):
                if row_id not in remaining:
                    continue
                remaining.remove(row_id)
                own = ((rows.start + offset) // self.facts.chunk_rows, rows.orders is not None)
                if own != chunk:
                    if picked:
                        yield self._task(chunk[0], picked)
                    chunk, picked = own, []
                order = None if rows.orders is None else rows.orders[offset]
                picked.append(_Picked(packed[offset], row_id, order))
        if picked:
            yield self._task(chunk[0], picked)

    def _task(self, chunk: int, picked: list["_Picked"]) -> ChunkTask:
        keys = [each.row.key for each in picked]
        replicates = np.array([each.row.replicate for each in picked], dtype=np.int64)
        task = ChunkTask(
            campaign=self.facts.campaign,
            chunk=chunk,
            members=np.stack([each.members for each in picked]),
            keys=tuple(keys),
            seeds=retrain_seeds(self.facts.learner_seed, keys, replicates),
            replicates=replicates,
            together=self.facts.together,
        )
        orders = [each.order for each in picked if each.order is not None]
        if not orders or not isinstance(self.design, Walk):
            return task
        return walk_task(task, np.stack(orders), self.design.rate)


class _Picked(NamedTuple):
    """A row of a task under way: members packed, and of walks the order."""

    members: ByteArray
    row: RowId
    order: IntArray | None


def end_replicates(n: int, *, deterministic: bool) -> int:
    """How often D is retrained: once for a deterministic learner, else min(16, ceil(sqrt n)), at least 2."""
    return 1 if deterministic else max(2, min(MOST_END_REPLICATES, math.ceil(math.sqrt(n))))


def chunk_rows(*, together: int, seconds_per_retrain: float, bytes_per_row: float, rows: int, workers: int) -> int:
    """Rows a chunk: whole groups of K, about 5 s of work, at most 64 MiB, at least 8 chunks a worker where it can be.

    It follows timing, which is harmless: it fixes no bits. Everything else about a row does not depend on it.
    """
    by_time = SECONDS_PER_CHUNK / max(seconds_per_retrain, 1e-9)
    by_size = BYTES_PER_CHUNK / max(bytes_per_row, 1.0)
    by_share = rows / (8 * max(workers, 1))
    groups = max(1, int(min(by_time, by_size, max(by_share, 1.0)) / together))
    return groups * together


def rows_of_walks(rows: int, walk_rows: int, *, together: int) -> int:
    """The rows of a chunk as whole walks: as many as come closest, and enough to fill a batch, at most 4 times as many.

    Walks that stop on losses seen go on side by side, so that few of them would train few retrains together.
    """
    walks = max(1, round(rows / walk_rows))
    return walk_rows * max(walks, min(together, 4 * walks))
