"""Versions of one training set: instances appended, taken out, re-ordered, a label mended.

With `data: {versions: true}` rows of earlier versions stay in the store. A row is named by its members' identities, so
one whose subset holds no changed instance is a row of the new version too. Each campaign belongs to one version; a
random design of a new version goes on from the draws of the earlier one (`estimators.designs.continued`).
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from estimators.arrays import BoolArray, ByteArray
from estimators.designs import design_made
from estimators.designs.continued import CLOSED_UNDER_LEAVING_OUT, Continued
from estimators.designs.protocol import Design
from estimators.seeding import derive_seed
from estimators.subsets import pack, unpack
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import StoreRefused
from orchestrator.fingerprint import explain_difference, train_kind
from orchestrator.plan import PLAN_FILE, Plan, PlanFacts
from orchestrator.preparation import PlannedCampaign, Prepared
from orchestrator.store.moved_rows import Moved, moved_members, positions_in
from orchestrator.tracking.runs import CampaignRun, JobRun
from workers.chunk_store import ChunkStore
from workers.errors import ChunkError
from workers.identity_file import decode_identities, encode_identities, identities_name

KIND_TAG = "apportion.train_kind"
VERSION_TAG = "apportion.train"
DRAWS_TAG = "apportion.draws"
_POOL = b"apportion.draws"


@dataclass(frozen=True, slots=True)
class Pool:
    """Draws of an earlier campaign that hold no instance that is gone, in its order.

    members: [U, n] of the new set. version, identities: of the earlier one.
    """

    campaign: str
    members: BoolArray
    version: str
    identities: ByteArray

    def identities_file(self) -> bytes:
        """The list of identities of the earlier version, to be kept beside the plan too."""
        return encode_identities(self.identities, role="train", version=self.version)

    def encode(self) -> tuple[str, bytes]:
        """Name and content of the file that keeps them beside the plan: the same bytes for the same draws."""
        packed = pack(self.members)
        column = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(packed.shape[1]), len(packed), [None, pa.py_buffer(np.ascontiguousarray(packed))]
        )
        schema = pa.schema([pa.field("members", column.type)], metadata={_POOL: self.campaign})
        stream = io.BytesIO()
        parquet.write_table(
            pa.Table.from_arrays([column], schema=schema), stream, use_dictionary=False, write_page_checksum=True
        )
        content = stream.getvalue()
        return f"draws-{hashlib.sha256(content).hexdigest()[:12]}.parquet", content


def refuse_other_data(parent: JobRun, prepared: Prepared) -> None:
    """Raise StoreRefused where a store is of another learner, code, test set or, without `versions`, training set."""
    stored, now = parent.fingerprints, prepared.fingerprints
    if stored is None or stored == now:
        return
    kind = parent.tags.get(KIND_TAG)
    if stored.differing(now) == ("train",) and prepared.job.data.versions:
        if kind == train_kind(prepared.loaded):
            return
        raise StoreRefused(
            "the training set is no version of the store's: its columns, number format, classes, weights or groups "
            "are others",
            mend="put those back as they were, or give the job another `name`",
        )
    difference = explain_difference(stored, now)
    if stored.differing(now) == ("train",):
        difference += ", or go on with the changed set: `versions: true` in data"
    if stored.differing(now) == ("test",):
        difference += ", or add test instances to it: apportion extend JOB --test FILE, from kept models (`keep: true`)"
    raise StoreRefused(difference)


def earlier_versions(prepared: Prepared, runs: Sequence[CampaignRun]) -> dict[str, ByteArray]:
    """Identities of the store's other versions, by fingerprint; none unless the job says `versions: true`."""
    if not prepared.job.data.versions:
        return {}
    found: dict[str, ByteArray] = {}
    for run in runs:
        version = run.tags.get(VERSION_TAG, "")
        if version and version != prepared.fingerprints.train and version not in found:
            found[version] = _identities(run.chunk_store(), version)
    return found


def moved_rows(prepared: Prepared, runs: Sequence[CampaignRun]) -> dict[str, Moved]:
    """How rows of the store's other versions are read as rows of the job's own, by fingerprint."""
    now = prepared.loaded.train_identities
    return {
        version: Moved(positions_in(now, then), len(now)) for version, then in earlier_versions(prepared, runs).items()
    }


def pool_for(prepared: Prepared, planned: PlannedCampaign, runs: Sequence[CampaignRun]) -> Pool | None:
    """The draws that a new campaign goes on from: those of the earlier campaign of its law that spare most."""
    versions = earlier_versions(prepared, runs)
    if not versions or planned.spec.design not in CLOSED_UNDER_LEAVING_OUT or planned.design.unit_rows != 1:
        return None
    pools = [
        _pool(prepared, planned, run, versions[run.tags[VERSION_TAG]])
        for run in runs
        if run.tags.get(VERSION_TAG) in versions
    ]
    found = [pool for pool in pools if pool is not None and len(pool.members)]
    return max(found, key=lambda pool: _continued_by(prepared, planned, pool).taken(planned.draws), default=None)


def continued(facts: PlanFacts, design: Design, chunks: ChunkStore, loaded: LoadedData) -> Design:
    """The design of a stored plan: continued from the draws that are kept beside it, where it names any.

    Raises ChunkError where those are damaged.
    """
    if not facts.pool:
        return design
    pool, then = _read_pool(facts.pool, chunks.get(facts.pool), facts.n), _identities(chunks, facts.before)
    return Continued(design, _added(loaded.train_identities, then), pool)


def with_pool(facts: PlanFacts, pool: Pool, version: str) -> PlanFacts:
    """The facts of a plan of the training set `version` that goes on from `pool`, with a seed of its own."""
    seed = derive_seed("version", str(facts.seed), version)
    return replace(facts, seed=seed, pool=pool.encode()[0], before=pool.version)


def going_on(prepared: Prepared, planned: PlannedCampaign, runs: Sequence[CampaignRun]) -> Design:
    """The design that a campaign without a plan would get: its own, or one continued from an earlier version."""
    pool = pool_for(prepared, planned, runs)
    return planned.design if pool is None else _continued_by(prepared, planned, pool)


def _continued_by(prepared: Prepared, planned: PlannedCampaign, pool: Pool) -> Continued:
    seed = derive_seed("version", str(planned.seed), prepared.fingerprints.train)
    made = design_made(
        planned.spec.design, planned.parameters, n=planned.design.n, seed=seed, material=prepared.loaded.material
    )
    return Continued(made, _added(prepared.loaded.train_identities, pool.identities), pool.members)


def stored_plan(prepared: Prepared, run: CampaignRun, facts: PlanFacts) -> Plan:
    """The plan of a campaign of whichever version. Raises ImpossibleDesign where it needs data that are gone."""
    chunks, version = run.chunk_store(), run.tags.get(VERSION_TAG, "")
    now = version in {"", prepared.fingerprints.train}
    identities = prepared.loaded.train_identities if now else _identities(chunks, version)
    design = _design_then(facts, facts.design_of(prepared.loaded.material), chunks, identities)
    return Plan(facts, design, identities, int(run.tags.get(DRAWS_TAG, "0")))


def _pool(prepared: Prepared, planned: PlannedCampaign, run: CampaignRun, then: ByteArray) -> Pool | None:
    chunks = run.chunk_store()
    if PLAN_FILE not in chunks.names():
        return None
    facts = PlanFacts.decode(chunks.get(PLAN_FILE))
    design = facts.design_of(prepared.loaded.material)
    if facts.design != planned.spec.design or design.unit_rows != 1 or not _same_law(design, planned.design):
        return None
    old = _design_then(facts, design, chunks, then).draws(0, int(run.tags.get(DRAWS_TAG, "0")))
    positions = positions_in(prepared.loaded.train_identities, then)
    whole = ~old[:, positions < 0].any(axis=1)
    members = moved_members(old[whole], positions, prepared.loaded.dataset.n)
    return Pool(run.campaign_id, members, run.tags[VERSION_TAG], then)


def _design_then(facts: PlanFacts, design: Design, chunks: ChunkStore, then: ByteArray) -> Design:
    if not facts.pool:
        return design
    pool = _read_pool(facts.pool, chunks.get(facts.pool), facts.n)
    return Continued(design, _added(then, _identities(chunks, facts.before)), pool)


def _same_law(a: Design, b: Design) -> bool:
    """Whether both draw by one law: equal probability, or equal size, whatever their numbers of players."""
    for name in ("probability", "size"):
        if getattr(a, name, None) != getattr(b, name, None):
            return False
    return type(a) is type(b)


def _added(now: ByteArray, then: ByteArray) -> BoolArray:
    added: BoolArray = positions_in(then, now) < 0
    return added


def _identities(chunks: ChunkStore, version: str) -> ByteArray:
    return decode_identities(chunks.get(identities_name("train", version))).identities


def _read_pool(name: str, content: bytes, n: int) -> BoolArray:
    if hashlib.sha256(content).hexdigest()[:12] not in name:
        raise ChunkError(f"{name}: damaged: its content has another SHA-256 than its name says")
    table = parquet.ParquetFile(io.BytesIO(content), page_checksum_verification=True).read()
    packed = np.frombuffer(b"".join(table["members"].to_pylist()), dtype=np.uint8).reshape(table.num_rows, -1)
    return unpack(packed, n)
