"""Rows of loops run before or elsewhere, taken into a campaign on the same subsets.

The job names the subsets with their law (`design: subsets_from_file`), so that values know how they were drawn; here
their losses are put where the campaign's own retrains would stand. Such rows are of a numeric class of their own, so
that every value that mixes them with others says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from estimators.arrays import AnyArray, BoolArray, Float32Array
from estimators.subsets import subset_keys
from orchestrator.errors import JobError
from orchestrator.plan import RowId
from orchestrator.session import OpenCampaign, Session
from orchestrator.wording import counted, listed
from workers.chunk_file import chunk_name, encode
from workers.chunk_types import ChunkRows
from workers.outcomes import ChunkTask

IMPORTED = "imported"
TRAIN = "train_"


@dataclass(frozen=True, slots=True)
class Imported:
    """What was taken in. repeated: rows of a subset that an earlier row has; there: in the store before."""

    campaign: str
    rows: int
    repeated: int
    there: int


def read_arrays(path: Path) -> dict[str, AnyArray]:
    """The arrays of an npz file; raises JobError where it cannot be read or holds objects."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise JobError("is not there", where=str(path), mend="name an npz file") from None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise JobError(
            f"cannot be read as npz: {error}", where=str(path), mend="write it with numpy.savez, arrays of numbers only"
        ) from error


def members_of(arrays: Mapping[str, AnyArray], path: Path, n: int) -> BoolArray:
    """The subsets [R, n]; raises JobError where there are none of that shape."""
    members = arrays.get("members")
    if members is None or members.ndim != 2 or members.shape[1] != n or not np.isin(members, (0, 1)).all():
        seen = "no `members`" if members is None else f"`members` of shape {members.shape}"
        raise JobError(f"holds {seen}", where=str(path), mend=f"give `members` [rows, {n}] of true and false")
    return members.astype(np.bool_)


def import_rows(
    session: Session, members: BoolArray, losses: Mapping[str, AnyArray], *, members_file: Path, losses_file: Path
) -> Imported:
    """Put the losses of these subsets into the campaign that is planned on them; to be called in a session.

    losses: `<loss>` [R, n_test], and `train_<loss>` [R, n] where the campaign keeps those. Raises JobError where no
    campaign plans these subsets, a loss is absent, has another shape, or is no number.
    """
    opened = _campaign_on(session, members, members_file)
    test, train = _checked(session, opened, losses, len(members), str(losses_file))
    keys = subset_keys(members, session.prepared.loaded.train_identities)
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    rows = [RowId(key, 0) for key in first]
    missing = {rows[place] for place in session.store.missing(rows)}
    for task in opened.campaign.plan.tasks(missing):
        places = [first[key] for key in task.keys]
        chosen = [{name: values[places] for name, values in kept.items()} for kept in (test, train)]
        _put(session, opened, task, *chosen)
    return Imported(opened.planned.name, len(missing), len(keys) - len(first), len(first) - len(missing))


def _campaign_on(session: Session, members: BoolArray, path: Path) -> OpenCampaign:
    for opened in session.campaigns:
        design = opened.planned.design
        if design.name == "subsets_from_file" and np.array_equal(design.draws(0, opened.planned.draws), members):
            return opened
    raise JobError(
        "no campaign of the job plans these subsets",
        where=str(path),
        mend=f"add `- {{design: subsets_from_file, file: {path.name}}}` to campaigns; `log_size_law` in that file "
        "states the law that drew them",
    )


def _checked(
    session: Session, opened: OpenCampaign, losses: Mapping[str, AnyArray], rows: int, where: str
) -> tuple[dict[str, Float32Array], dict[str, Float32Array]]:
    plan, data = opened.campaign.plan.facts, session.prepared.loaded.dataset
    wanted = dict.fromkeys(plan.losses, (rows, data.n_test))
    wanted |= {TRAIN + name: (rows, data.n) for name in plan.losses if plan.train_losses}
    absent = [name for name in wanted if name not in losses]
    if absent:
        mend = f"give {listed(absent)}"
        if all(name.startswith(TRAIN) for name in absent):
            mend += ", or set `train_losses: false` in the job's learner"
        raise JobError(f"holds {listed(losses) or 'nothing'}", where=where, mend=mend)
    for name, shape in wanted.items():
        if losses[name].shape != shape or losses[name].dtype.kind not in "fiub":
            seen = f"{losses[name].dtype} {losses[name].shape}"
            raise JobError(f"`{name}` is {seen}, expected numbers {shape}", where=where, mend="one row a subset")
        bad = np.flatnonzero(~np.isfinite(losses[name].astype(np.float32)).all(axis=1))
        if len(bad):
            what = f"`{name}` has {counted(len(bad), 'row')} that are no numbers, first row {bad[0]}"
            raise JobError(what, where=where, mend="leave those rows out of both files")
    test = {name: losses[name].astype(np.float32) for name in plan.losses}
    return test, {name: losses[TRAIN + name].astype(np.float32) for name in plan.losses if plan.train_losses}


def _put(
    session: Session,
    opened: OpenCampaign,
    task: ChunkTask,
    test: Mapping[str, Float32Array],
    train: Mapping[str, Float32Array],
) -> None:
    header = session.facts(opened).header(task, numeric_class=IMPORTED, together=1, worker=IMPORTED)
    rows = ChunkRows(
        keys=task.keys,
        members=task.members,
        sizes=np.bitwise_count(task.members).sum(axis=1, dtype=np.int64),
        seeds=np.zeros(task.rows, dtype=np.uint64),
        replicates=task.replicates,
        seconds=np.zeros(task.rows, dtype=np.float32),
        attempts=np.ones(task.rows, dtype=np.int64),
        losses=test,
        train_losses=train,
    )
    content = encode(header, rows)
    name = chunk_name(task.chunk, task.keys, task.replicates, content)
    opened.chunks.put(name, content)
    session.store.add(opened.planned.id, name)
