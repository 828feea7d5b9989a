"""What designs need of the data: classes to stratify by, groups to leave out, the user's own subsets."""

from collections.abc import Mapping

import numpy as np

from estimators.arrays import IntArray
from estimators.designs.parameters import ListedSubsets, Material
from orchestrator.data.aside import Groups
from orchestrator.data.npz import npz_arrays
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import did_you_mean, shown
from workers.dataset import Dataset


def design_material(job: Job, data: Dataset, left_out: Mapping[str, Groups]) -> Material:
    """The material for the job's campaigns. Raises JobError with what is wrong with groups and files of subsets."""
    problems: list[Problem] = []
    groups: dict[str, Groups] = {}
    subsets: dict[str, ListedSubsets] = {}
    for index, campaign in enumerate(job.campaigns):
        try:
            if campaign.group is not None and campaign.group in left_out:
                where = job.origin.where("campaigns", index, "group")
                groups[campaign.group] = _of_players(left_out[campaign.group], data, where)
            if campaign.file is not None:
                subsets[campaign.file] = _subsets(job, campaign.file, job.origin.where("campaigns", index, "file"))
        except JobError as error:
            problems += error.problems
    if problems:
        raise JobError(problems)
    labels = data.train_labels if data.task == "classification" and data.groups is None else None
    return Material(labels=labels, groups=groups, subsets=subsets)


def _of_players(column: Groups, data: Dataset, where: str) -> Groups:
    """The column's codes by player; where players are groups of rows, a player's rows must agree."""
    codes, names = column
    if data.groups is None:
        return column
    firsts: IntArray = np.full(data.n, -1, dtype=np.int64)
    firsts[data.groups[::-1]] = codes[::-1]
    if (firsts[data.groups] != codes).any():
        row = int(np.flatnonzero(firsts[data.groups] != codes)[0])
        what = f"rows of one player (data.group) differ in it, first at row {row}"
        raise JobError(what, where=where, mend="name a column that is the same in all rows of a player")
    return firsts, names


def _subsets(job: Job, text: str, where: str) -> ListedSubsets:
    path = (job.folder / text).expanduser()
    if not path.is_file():
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        mend = did_you_mean(path.name, near) or "an .npz with `members`, [K, n] of booleans"
        raise JobError(f"there is no file `{shown(text)}` (looked for {shown(str(path))})", where=where, mend=mend)
    arrays = npz_arrays(path, ("members",), optional=("log_size_law",), where=f"{where}: {path.name}")
    members = arrays["members"]
    if members.ndim != 2 or not len(members) or not np.isin(members, (0, 1)).all():
        what = f"`members` is {members.dtype} {members.shape}, expected booleans [K, n]"
        raise JobError(what, where=where, mend="one row a subset, one column a training instance, true = in the subset")
    law = arrays.get("log_size_law")
    return ListedSubsets(members.astype(np.bool_), None if law is None else law.astype(np.float64))
