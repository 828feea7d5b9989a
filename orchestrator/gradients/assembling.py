"""Blocks of one entry put together as they are read, one at a time; complete or not at all."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from estimators.gradient.facts import merged_facts
from estimators.gradient.top_scores import TopScores, merged_top
from estimators.gradient.trak_scores import ModelScores, averaged
from orchestrator.gradients.values import Parts
from workers.chunk_store import ChunkStore
from workers.gradient_file import GradientTask, StoredBlock, read_block
from workers.gradient_specs import GradientSpec

Block = tuple[GradientTask, StoredBlock]


@dataclass(frozen=True, slots=True)
class Assembled:
    """Everything that the blocks of an entry say."""

    parts: Parts
    facts: Mapping[str, float]
    loss: str
    deletion: str
    notes: tuple[str, ...]


def assembled(
    spec: GradientSpec, blocks: Mapping[GradientTask, str], store: ChunkStore, shape: tuple[int, int], groups: int = 0
) -> Assembled | None:
    """The blocks of one entry, by kind and place; None where one of them is missing. Raises ChunkError for damage.

    shape: n and n_test. groups: how many there are, where the entry gives sums over them.
    """
    if not blocks:
        return None
    tally = _Tally()
    parts = _scores(spec, tally.noted(_read(blocks, store, "gradient")), shape, groups)
    own = np.zeros(shape[0])
    for task, block in tally.noted(_read(blocks, store, "self")):
        own[task.rows : task.rows + len(block.arrays["own"])] += block.arrays["own"]
    for _ in tally.noted(_read(blocks, store, "stationarity")):
        pass
    if not tally.whole:
        return None
    found = replace(parts, own=own) if tally.cells["self"] else parts
    assert tally.last is not None
    told = tally.last.told
    return Assembled(found, tally.facts, told["loss"], told["deletion"], tuple(told["notes"]))


def _scores(spec: GradientSpec, blocks: Iterable[Block], shape: tuple[int, int], groups: int) -> Parts:
    if spec.method == "trak":
        return _averaged(blocks)
    if spec.given == "matrix":
        return _matrix(blocks, *shape)
    if spec.given == "mean":
        return _means(blocks, shape[0])
    if spec.given == "groups":
        return _sums(blocks, (groups, shape[1]))
    return _tops(blocks, spec.strongest)


class _Tally:
    """Counts cells and keeps facts while blocks go by."""

    def __init__(self) -> None:
        self.cells: Counter[str] = Counter()
        self.facts: dict[str, float] = {}
        self.last: StoredBlock | None = None

    def noted(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for task, block in blocks:
            self.cells[task.kind] += block.told["cells"]
            self.facts = merged_facts(self.facts, block.told["facts"])
            self.last = block
            yield task, block

    @property
    def whole(self) -> bool:
        return self.last is not None and dict(self.cells) == self.last.told["cells_in_all"]


def _read(blocks: Mapping[GradientTask, str], store: ChunkStore, kind: str) -> Iterator[Block]:
    for task, name in sorted(blocks.items()):
        if task.kind == kind:
            yield task, read_block(name, store.get(name))


def _matrix(blocks: Iterable[Block], n: int, n_test: int) -> Parts:
    """Sums over checkpoints; NaN where no block says anything, variances where blocks have them."""
    values = np.full((n, n_test), np.nan)
    variances, of_mean = None, np.zeros(n)
    for task, block in blocks:
        scores, given = block.arrays["scores"], block.arrays.get("variances")
        rows = block.arrays.get("positions", np.arange(task.rows, task.rows + len(scores)))
        part = np.ix_(rows, np.arange(task.columns, task.columns + scores.shape[1]))
        values[part] = np.where(np.isnan(values[part]), 0.0, values[part]) + scores
        if given is not None:
            variances = np.zeros((n, n_test)) if variances is None else variances
            variances[part] += given
            of_mean[rows] += block.arrays["mean_variances"]
    return Parts(values=values, variances=variances, mean_variances=None if variances is None else of_mean)


def _means(blocks: Iterable[Block], n: int) -> Parts:
    mean = np.zeros(n)
    for task, block in blocks:
        mean[task.rows : task.rows + len(block.arrays["scores"])] += block.arrays["scores"]
    return Parts(mean=mean)


def _sums(blocks: Iterable[Block], shape: tuple[int, int]) -> Parts:
    sums = np.zeros(shape)
    for task, block in blocks:
        scores = block.arrays["scores"]
        rows = block.arrays.get("positions", np.arange(len(scores)))
        sums[rows, task.columns : task.columns + scores.shape[1]] += scores
    return Parts(sums=sums)


def _tops(blocks: Iterable[Block], count: int) -> Parts:
    found: dict[str, TopScores] = {}
    for _, block in blocks:
        for side, sign in (("proponents", 1.0), ("opponents", -1.0)):
            here = TopScores(block.arrays[side], sign * block.arrays[f"{side}_values"])
            found[side] = merged_top([found[side], here] if side in found else [here], count)
    if not found:
        return Parts()
    opponents = TopScores(found["opponents"].indices, -found["opponents"].values)
    return Parts(proponents=found["proponents"], opponents=opponents)


def _averaged(blocks: Iterable[Block]) -> Parts:
    """TRAK's means over models."""
    names = [each.name for each in fields(ModelScores)]
    models = (_models({name: block.arrays[name] for name in names}) for _, block in blocks)
    first = next(models, None)
    if first is None:
        return Parts()
    values, own = averaged(itertools.chain([first], models), output="loss")
    return Parts(values=values, own=own)


def _models(arrays: dict[str, Any]) -> ModelScores:
    return ModelScores(**arrays | {name: arrays[name].item() for name in ("models", "damping")})
