"""A chunk of retrains: trained K at a time, checked, and made a file."""

import numpy as np

from estimators.arrays import BoolArray, IntArray
from estimators.designs.stopping import mean_losses as row_means
from estimators.subsets import unpack
from workers.chunk_file import encode
from workers.chunk_types import ChunkHeader
from workers.chunk_work import Made, NonFiniteError, Work, WrongShapeError, mean_losses
from workers.keeping import Models, joined_models, keeper_of
from workers.learner import Losses
from workers.loss_checks import non_finite_rows, shape_trouble
from workers.model_file import encode_models, models_name
from workers.outcomes import ChunkTask, PrefixTask
from workers.prefixes import PrefixGroups
from workers.task_rows import rows_of


def retrain_chunk(work: Work) -> Made:
    """The file of a task's retrains. Raises NonFiniteError, WrongShapeError, and what the learner raises."""
    parts, models, done = list[Losses](), list[Models](), list[int]()
    members = unpack(work.task.members, work.facts.n)
    for group in work.groups_by_size():
        losses, kept = _trained(work, members[group], group)
        parts.append(losses)
        models += [kept] if kept is not None else []
        done += group
    return _made(work, done, parts, models)


def prefix_chunk(work: Work, task: PrefixTask) -> Made:
    """The file of as many prefixes of truncated walks as are trained before these stop; errors as `retrain_chunk`."""
    parts, models, done = list[Losses](), list[Models](), list[int]()
    members = unpack(task.members, work.facts.n)
    groups = PrefixGroups(task.prefixes, work.together)
    for group in work.timed(groups):
        losses, kept = _trained(work, members[group], group)
        groups.seen(group, row_means(losses.test[task.prefixes.loss]))
        parts.append(losses)
        models += [kept] if kept is not None else []
        done += group
    return _made(work, done, parts, models)


def _made(work: Work, done: list[int], parts: list[Losses], models: list[Models]) -> Made:
    """The file of the rows done, in the order of the task. done: as they were trained."""
    back, done = np.argsort(done), sorted(done)
    task, facts = work.task.part(done, attempt=work.task.attempt), work.facts
    test = {name: np.concatenate([part.test[name] for part in parts])[back] for name in facts.losses}
    train = {name: np.concatenate([(part.train or {})[name] for part in parts])[back] for name in facts.train_losses}
    wrong = non_finite_rows(test, train, task.keys)
    if wrong:
        raise NonFiniteError(next(iter(wrong.values())), tuple(done[place] for place in wrong))
    rows = rows_of(
        task,
        seconds=work.seconds[done],
        attempts=task.attempt,
        losses=test,
        train_losses=train,
    )
    header = work.header()
    return Made(task, encode(header, rows), header, mean_losses(test), _models_file(task, header, models, back))


def _trained(work: Work, members: BoolArray, group: list[int]) -> tuple[Losses, Models | None]:
    """Losses of a group, checked, and its models where they are kept."""
    seeds, learner = work.task.seeds[group], work.learner_for(group)
    if not work.facts.keep:
        return _checked(work, learner.retrain(members, seeds), group), None
    keeper = keeper_of(learner)
    models = keeper.trained(members, seeds)
    return _checked(work, keeper.losses_of(models), group), models


def _models_file(task: ChunkTask, header: ChunkHeader, parts: list[Models], back: IntArray) -> dict[str, bytes]:
    if not parts:
        return {}
    models = {name: array[back] for name, array in joined_models(parts).items()}
    content = encode_models(header, task.keys, task.replicates, models)
    return {models_name(task.chunk, task.keys, task.replicates, content): content}


def _checked(work: Work, losses: Losses, group: list[int]) -> Losses:
    facts = work.facts
    trouble = shape_trouble(
        losses, rows=len(group), n=facts.n, n_test=facts.n_test, names=facts.losses, train=facts.train_losses
    )
    if trouble:
        raise WrongShapeError(f"subset {work.task.keys[group[0]].hex()}: {trouble}")
    return losses
