"""A chunk of the kind `side`: losses of kept models on other test instances, or other losses; forward passes only."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from estimators.arrays import Float32Array
from workers.chunk_file import encode
from workers.chunk_types import ChunkHeader
from workers.chunk_work import Made, NonFiniteError, Work, WrongShapeError, mean_losses
from workers.errors import ChunkError
from workers.keeping import keeper_of
from workers.learner import Losses
from workers.loss_checks import non_finite_rows, shape_trouble
from workers.model_file import KeptModels, decode_models
from workers.outcomes import SideTask
from workers.task_rows import rows_of


def side_chunk(work: Work, task: SideTask, read: Callable[[str], bytes]) -> Made:
    """The side file of a task's rows, whose kept models `read` gives by name; rows that failed stay failed.

    Raises ChunkError where the models are damaged or of other rows, data, learner or code; NonFiniteError,
    WrongShapeError.
    """
    facts = work.facts
    losses = {name: np.full((task.rows, facts.n_test), np.nan, dtype=np.float32) for name in facts.losses}
    train = {name: np.full((task.rows, facts.n), np.nan, dtype=np.float32) for name in facts.train_losses}
    alive = [row for row, reason in enumerate(task.failures) if reason is None]
    if alive:
        _fill(work, task, alive, decode_models(task.models, read(task.models)), losses, train)
    wrong = non_finite_rows(
        {name: each[alive] for name, each in losses.items()},
        {name: each[alive] for name, each in train.items()},
        [task.keys[row] for row in alive],
    )
    if wrong:
        raise NonFiniteError(next(iter(wrong.values())), tuple(alive[row] for row in wrong))
    header = side_header(work.header())
    rows = rows_of(
        task,
        seconds=work.seconds,
        attempts=task.attempt,
        losses=losses,
        train_losses=train,
        failures=task.failures if len(alive) < task.rows else (),
    )
    means = mean_losses({name: each[alive] for name, each in losses.items()}) if alive else {}
    return Made(work.task, encode(header, rows), header, means)


def side_header(header: ChunkHeader) -> ChunkHeader:
    """The header of retrains as one of a side file."""
    return replace(header, kind="side")


def _fill(
    work: Work,
    task: SideTask,
    alive: list[int],
    kept: KeptModels,
    losses: dict[str, Float32Array],
    train: dict[str, Float32Array],
) -> None:
    """Losses of the rows that did not fail, K at a time."""
    own = work.facts.fingerprints
    wanted_prints = replace(own, test=kept.fingerprints.test, train=task.trained_on or own.train)
    foreign = kept.fingerprints.differing(wanted_prints)
    if foreign:
        raise ChunkError(f"{task.models}: models of another {', '.join(foreign)}")
    places = {row: place for place, row in enumerate(zip(kept.keys, kept.replicates.tolist(), strict=True))}
    keeper = keeper_of(work.learner)
    for group in work.groups():
        chosen = [row for row in group if row in set(alive)]
        wanted = [(task.keys[row], int(task.replicates[row])) for row in chosen]
        absent = [key for key, replicate in wanted if (key, replicate) not in places]
        if absent:
            raise ChunkError(f"{task.models}: holds no model of retrain {absent[0].hex()}")
        if not chosen:
            continue
        found = _checked(work, keeper.losses_of(kept.rows([places[row] for row in wanted])), len(chosen))
        for name, values in found.test.items():
            losses[name][chosen] = values
        for name, values in train.items():
            values[chosen] = (found.train or {})[name]


def _checked(work: Work, losses: Losses, rows: int) -> Losses:
    facts = work.facts
    trouble = shape_trouble(
        losses, rows=rows, n=facts.n, n_test=facts.n_test, names=facts.losses, train=facts.train_losses
    )
    if trouble:
        raise WrongShapeError(trouble)
    return losses
