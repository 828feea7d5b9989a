"""What stands beside features and labels: weights, groups, names, known label errors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from orchestrator.data.labels import label_text
from orchestrator.data.parts import RawData
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import counted, listed, shown

Groups = tuple[IntArray, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SideArrays:
    """weights, groups (codes by first appearance), known_label_errors: [rows] or None. Names are empty if not given.

    left_out: codes [rows] and names of each column by which a campaign leaves groups out. test_groups: of the test set.
    """

    weights: FloatArray | None
    groups: IntArray | None
    group_names: tuple[str, ...]
    train_names: tuple[str, ...]
    test_names: tuple[str, ...]
    known_label_errors: BoolArray | None
    left_out: Mapping[str, Groups]
    test_groups: Groups | None


def side_arrays(raw: RawData, job: Job) -> SideArrays:
    """The arrays beside the data. Raises JobError with all that is wrong with them."""
    problems: list[Problem] = []
    source, rows = raw.train.source, raw.train.rows
    known = job.report.known_label_errors
    errors = None if known is None else raw.train.extras.get(known)
    if known is not None and errors is None:
        where = job.origin.where("report", "known_label_errors")
        problems.append(Problem(f"the training set has no `{shown(known)}`", where, "name an array or column it has"))
    given = {"weights": raw.train.weights, "groups": raw.train.groups, "names": raw.train.ids, str(known): errors}
    for name, values in given.items():
        if values is not None and values.shape != (rows,):
            what = f"{name} have shape {values.shape}, but there are {rows:,} training rows"
            problems.append(Problem(what, source, "give one value a row"))
    if raw.test.ids is not None and raw.test.ids.shape != (raw.test.rows,):
        what = f"names have shape {raw.test.ids.shape}, but there are {raw.test.rows:,} test rows"
        problems.append(Problem(what, raw.test.source, "give one name a row"))
    left_out = {campaign.group for campaign in job.campaigns if campaign.group is not None}
    for name in sorted(left_out - set(raw.train.extras)):
        what = f"the training set has no `{shown(name)}`, by which a campaign leaves groups out"
        problems.append(Problem(what, source, "name a column or array that it has"))
    problems += [
        Problem(f"`{shown(name)}` has shape {raw.train.extras[name].shape}, expected ({rows},)", source)
        for name in sorted(left_out & set(raw.train.extras))
        if raw.train.extras[name].shape != (rows,)
    ]
    if raw.test.groups is not None and raw.test.groups.shape != (raw.test.rows,):
        what = f"groups have shape {raw.test.groups.shape}, but there are {raw.test.rows:,} test rows"
        problems.append(Problem(what, raw.test.source, "give one group a row"))
    if problems:
        raise JobError(problems)
    weights = _weights(raw.train.weights, source, problems)
    groups, group_names = _groups(raw.train.groups, source, problems)
    train_names = _names(raw.train.ids, source, problems)
    test_names = _names(raw.test.ids, raw.test.source, problems)
    flags = _flags(errors, str(known), source, problems)
    columns = {name: _groups(raw.train.extras[name], source, problems) for name in sorted(left_out)}
    tests = _groups(raw.test.groups, raw.test.source, problems, least=1)
    if problems:
        raise JobError(problems)
    return SideArrays(
        weights,
        groups,
        group_names,
        train_names,
        test_names,
        flags,
        left_out={name: (codes, names) for name, (codes, names) in columns.items() if codes is not None},
        test_groups=None if tests[0] is None else (tests[0], tests[1]),
    )


def _weights(values: AnyArray | None, source: str, problems: list[Problem]) -> FloatArray | None:
    if values is None:
        return None
    if values.dtype.kind not in "biuf":
        problems.append(Problem(f"weights are {values.dtype}, expected numbers", source, "give numbers above 0"))
        return None
    weights = values.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if len(bad):
        first = ", ".join(f"row {row}: {weights[row]:g}" for row in bad[:3])
        what = f"{counted(len(bad), 'weight')} not above 0 or not finite, first {first}"
        problems.append(Problem(what, source, "give weights above 0; leave rows that should not count out of the data"))
    return weights


def _groups(
    values: AnyArray | None, source: str, problems: list[Problem], *, least: int = 2
) -> tuple[IntArray | None, tuple[str, ...]]:
    if values is None:
        return None, ()
    blank = [isinstance(value, str) and not value.strip() for value in values.tolist()]  # an empty cell of a CSV
    missing = np.flatnonzero(pd.isna(values) | np.asarray(blank, dtype=np.bool_))
    if len(missing):
        what = f"{counted(len(missing), 'row')} without a group, first row {missing[0]}"
        problems.append(Problem(what, source, "name the group of every row"))
        return None, ()
    codes, names = pd.factorize(values)
    if len(names) < least:
        what = f"all rows belong to one group, `{shown(label_text(names[0]))}`"
        problems.append(Problem(what, source, "groups are the players: there must be two at least"))
    return codes.astype(np.int64), tuple(label_text(name) for name in names.tolist())


def _names(values: AnyArray | None, source: str, problems: list[Problem]) -> tuple[str, ...]:
    if values is None:
        return ()
    texts = [label_text(value) for value in values.tolist()]
    double = pd.Series(texts).duplicated(keep=False)
    if double.any():
        first = [f"`{shown(texts[row])}` (row {row})" for row in np.flatnonzero(double.to_numpy())[:3]]
        what = f"{counted(int(double.sum()), 'row')} whose id is not its own, first {listed(first)}"
        problems.append(Problem(what, source, "give every row an id of its own, or take `id` out of data"))
    return tuple(texts)


def _flags(values: AnyArray | None, name: str, source: str, problems: list[Problem]) -> BoolArray | None:
    if values is None:
        return None
    different = set(pd.unique(values).tolist())
    if not different <= {0, 1}:
        what = f"`{shown(name)}` holds {listed(sorted(map(str, different)), most=4)}, expected true or false"
        problems.append(Problem(what, source, "true (1) where the label is known to be wrong, else false (0)"))
        return None
    return values.astype(np.bool_)
