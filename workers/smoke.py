"""A few retrains before a campaign: does the learner keep the laws that everything later relies on?

In this order: losses have the right names, shapes, types and are numbers; the same subset and seed give the same bits;
a learner declared deterministic does not depend on the seed; `members` matters; instances outside it do not.
"""

import re
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from estimators.arrays import BoolArray, SeedArray
from estimators.seeding import derive_seed, generator
from workers.dataset import Dataset
from workers.errors import LearnerError, WorkerError
from workers.learner import Learner, LearnerTraits, Losses
from workers.loss_checks import non_finite_rows, shape_trouble
from workers.membership_check import check_membership
from workers.out_of_memory import is_out_of_memory
from workers.own_warnings import own_warnings
from workers.row_losses import RowLosses, row_losses

HALF, OTHER_SEED, FULL, EMPTY = range(4)
SMALL = 4
"""Retrains together in the checks themselves; one group of K is trained for its time."""
MOST_NOTES = 3
INSTALLED = re.compile(r"/(?:site|dist)-packages/|/lib/python3|^<")
COARSE = (
    "a half of the training set and all of it give equal losses, which are 0 or 1: whether `members` matters could not"
    " be seen; a continuous loss beside it would show more"
)
SHORT_OF_MEMORY = (
    "{asked} retrains together run out of memory in this process, {fits} do not: a worker halves K where it does; write"
    " `together: {fits}` into learner to spare it the tries"
)
SPARED = "the losses did not depend on the seed: `deterministic: true` in learner spares the replicates of D"


@dataclass(frozen=True, slots=True)
class SmokeReport:
    """What the learner showed of itself.

    losses: names kept. train_losses: whether they are kept on the training instances too. together: K.
    seconds_per_retrain: of half the training set, K together, in this process. notes: what a person should know.
    model_bytes: of one retrain's parameters, where models are kept.
    """

    losses: tuple[str, ...]
    train_losses: bool
    traits: LearnerTraits
    numeric_class: str
    together: int
    seconds_per_retrain: float
    notes: tuple[str, ...] = field(default=())
    model_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Rows:
    """Subsets [rows, n] with seeds; the first four are HALF, OTHER_SEED, FULL, EMPTY."""

    members: BoolArray
    seeds: SeedArray
    names: tuple[str, ...]


def smoke_retrain(learner: Learner, data: Dataset, remake: Callable[[Dataset], Learner], seed: int) -> SmokeReport:
    """Retrain on a half of the training set, on all of it and on none, and check what the learner declares.

    remake: the same learner on another data set of the same shapes. Costs about seven retrains where they are looped,
    four groups of four and one of K where they go together.

    Raises:
        LearnerError: a law is broken: which, where, by how much, and how to mend it.
    """
    small, rows = learner.with_together(min(SMALL, learner.together)), _rows(SMALL, data.n, seed)
    with own_warnings() as warned:
        small, first = _trained(small, rows)
        _check_losses(small, first, rows)
        again, seconds = _repeated(small, rows)
        found = [row_losses(first, row) for row in range(len(rows.names))]
        _check_repeat(found, again)
        notes = [*_check_seeds(learner, found), *_check_members(found, data.n)]
        notes += check_membership(
            lambda other: remake(other).with_together(small.together),
            data,
            rows.members[HALF],
            rows.seeds[HALF],
            found[HALF],
            learner.traits,
        )
        fitting = small.together
        if learner.together > SMALL:
            fitting, seconds = _seconds_together(learner, _rows(learner.together, data.n, seed))
        if fitting < learner.together:
            notes.append(SHORT_OF_MEMORY.format(asked=learner.together, fits=fitting))
    return SmokeReport(
        losses=small.losses,
        train_losses=first.train is not None,
        traits=learner.traits,
        numeric_class=learner.numeric_class,
        together=learner.together,
        seconds_per_retrain=seconds,
        notes=(*notes, *_warnings_seen(warned)),
    )


def _rows(count: int, n: int, seed: int) -> _Rows:
    random = generator("smoke", seed)
    members = np.zeros((count, n), dtype=np.bool_)
    for row in members:
        row[random.permutation(n)[: max(1, n // 2)]] = True
    members[OTHER_SEED] = members[HALF]
    members[FULL], members[EMPTY] = True, False
    seeds = np.full(count, derive_seed("smoke", seed, 0), dtype=np.uint64)
    seeds[OTHER_SEED] = derive_seed("smoke", seed, 1)
    names = ["a half of the training set", "the same half, another seed", "the whole training set", "the empty subset"]
    names += ["a half of the training set"] * (count - len(names))
    return _Rows(members, seeds, tuple(names))


def _trained(learner: Learner, rows: _Rows) -> tuple[Learner, Losses]:
    """The losses, and the learner with as many together as fit into memory: K is halved until they do."""
    while True:
        try:
            return learner, learner.retrain(rows.members, rows.seeds)
        except WorkerError:
            raise
        except Exception as error:
            if not is_out_of_memory(error) or learner.together == 1:
                raise LearnerError(_which_raises(learner, rows, error)) from error
        learner = learner.with_together(learner.together // 2)


def _which_raises(learner: Learner, rows: _Rows, error: Exception) -> str:
    """A message that names the first subset that raises when it is trained alone."""
    what = f"the learner raises {type(error).__name__}: {error}"
    for row in (HALF, FULL, EMPTY):
        try:
            learner.retrain(rows.members[row : row + 1], rows.seeds[row : row + 1])
        except Exception as alone:  # noqa: BLE001 - the same trouble, now with its subset
            where = f"on {rows.names[row]} ({int(rows.members[row].sum())} members)"
            hint = ""
            if row == EMPTY:
                hint = "; every campaign needs its losses: return those of a model that has learnt nothing"
            return f"the learner raises {type(alone).__name__} {where}: {alone} ({_place(alone)}){hint}"
    return f"{what} ({_place(error)}), but only with several subsets together: write `together: 1` into learner"


def _place(error: BaseException) -> str:
    """Where an error was raised, file:line: in code that is not installed, where there is such a line below ours."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not INSTALLED.search(frame.filename)] or frames
    return f"{theirs[-1].filename}:{theirs[-1].lineno}" if theirs else "place unknown"


def _check_losses(learner: Learner, losses: Losses, rows: _Rows) -> None:
    names = learner.losses
    train = tuple(losses.train) if losses.train is not None else ()
    if train and set(train) != set(names):
        raise LearnerError(
            f"train losses are {', '.join(train)}, test losses {', '.join(names)}: keep the same of both"
        )
    trouble = shape_trouble(losses, rows=len(rows.names), n=learner.n, n_test=learner.n_test, names=names, train=train)
    if trouble:
        raise LearnerError(trouble)
    wrong = non_finite_rows(losses.test, losses.train or {}, rows.names)
    if wrong:
        raise LearnerError(next(iter(wrong.values())))


def _repeated(learner: Learner, rows: _Rows) -> tuple[list[RowLosses], float]:
    """The rows again, of looped learners the first one alone; and seconds a retrain."""
    count = len(rows.names) if learner.together > 1 else 1
    began = time.monotonic()
    losses = learner.retrain(rows.members[:count], rows.seeds[:count])
    seconds = (time.monotonic() - began) / count
    return [row_losses(losses, row) for row in range(count)], seconds


def _seconds_together(learner: Learner, rows: _Rows) -> tuple[int, float]:
    """How many fit together, and seconds a retrain."""
    began = time.monotonic()
    fitting, _ = _trained(learner, rows)
    return fitting.together, (time.monotonic() - began) / len(rows.names)


def _check_repeat(first: list[RowLosses], again: list[RowLosses]) -> None:
    for one, other in zip(first, again, strict=False):
        if one != other:
            raise LearnerError(
                f"two retrains on the same subset with the same seed differ ({one.largest_difference(other)}): a"
                " retrain must depend on its subset and seed alone; likely causes: a random generator that is not"
                " seeded from `seed`, state kept between retrains, the order of a set or of threads"
            )


def _check_seeds(learner: Learner, found: list[RowLosses]) -> list[str]:
    same = found[HALF] == found[OTHER_SEED]
    if learner.traits.deterministic and not same:
        raise LearnerError(
            "the learner is declared deterministic, but its losses depend on the seed"
            f" ({found[HALF].largest_difference(found[OTHER_SEED])}): write `deterministic: false`, or leave it out"
        )
    if same and not learner.traits.deterministic and learner.traits.membership == "unseen":
        return [SPARED]
    return []


def _check_members(found: list[RowLosses], n: int) -> list[str]:
    if n < 2 or found[HALF] != found[FULL]:
        return []
    if found[HALF].is_coarse() and found[FULL].is_coarse():
        return [COARSE]
    raise LearnerError(
        "the losses of a half of the training set equal those of the whole, bit for bit: the learner does not look at"
        " `members`; train on the instances where members is True, and on no others"
    )


def _warnings_seen(warned: list[warnings.WarningMessage]) -> list[str]:
    texts = dict.fromkeys(f"{each.category.__name__}: {str(each.message).splitlines()[0]}" for each in warned)
    return [f"a retrain warns: {text}" for text in texts][:MOST_NOTES]
