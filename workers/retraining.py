"""A chunk of retrains: trained K at a time, checked, and made a file."""

import numpy as np

from estimators.arrays import BoolArray
from estimators.subsets import unpack
from workers.chunk_file import encode
from workers.chunk_types import ChunkRows
from workers.chunk_work import Made, NonFiniteError, Work, WrongShapeError, mean_losses
from workers.learner import Losses
from workers.loss_checks import non_finite_rows, shape_trouble


def retrain_chunk(work: Work) -> Made:
    """The file of a task's retrains. Raises NonFiniteError, WrongShapeError, and what the learner raises."""
    task, facts = work.task, work.facts
    members = unpack(task.members, facts.n)
    parts = [_losses(work, members[group], group) for group in work.groups()]
    test = {name: np.concatenate([part.test[name] for part in parts]) for name in facts.losses}
    train = {name: np.concatenate([(part.train or {})[name] for part in parts]) for name in facts.train_losses}
    wrong = non_finite_rows(test, train, task.keys)
    if wrong:
        raise NonFiniteError(next(iter(wrong.values())), tuple(wrong))
    rows = ChunkRows(
        keys=task.keys,
        members=task.members,
        sizes=np.bitwise_count(task.members).sum(axis=1, dtype=np.int64),
        seeds=task.seeds,
        replicates=task.replicates,
        seconds=work.seconds,
        attempts=np.full(task.rows, task.attempt, dtype=np.int64),
        losses=test,
        train_losses=train,
    )
    header = work.header()
    return Made(encode(header, rows), header, mean_losses(test))


def _losses(work: Work, members: BoolArray, group: list[int]) -> Losses:
    losses, facts = work.learner.retrain(members, work.task.seeds[group]), work.facts
    trouble = shape_trouble(
        losses, rows=len(group), n=facts.n, n_test=facts.n_test, names=facts.losses, train=facts.train_losses
    )
    if trouble:
        raise WrongShapeError(f"subset {work.task.keys[group[0]].hex()}: {trouble}")
    return losses
