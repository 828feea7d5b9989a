"""A recorded run of training: parameters before some of its steps, with rates, batches and the optimiser's state.

    trajectory: every 30 epochs    before the first step of epochs 0, 30, 60, ...
    trajectory: losses             before an epoch whenever the training loss has fallen by a tenth since the last one
    trajectory: all                before every step, which is what unrolled methods need

Kept as one safetensors file, its facts as JSON in the header; nothing is executed when it is read. Recording again
gives the same bytes: a run depends on data, learner and seed alone.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from workers.chunk_name import content_hash
from workers.errors import ChunkError, LearnerError
from workers.keeping import Models

FALL = 0.9
"""`losses`: a checkpoint whenever the training loss is at most this much of what it was at the last one."""
SOLVED: Final = "solved"
"""The `optimizer` of learners that solve for their optimum: one checkpoint, the optimum, and no step."""
_EPOCHS: Final = re.compile(r"every (?:(\d+) )?epochs?", re.ASCII)
_NAME: Final = re.compile(r"trajectory-([0-9a-f]{16})-([0-9a-f]{12})\.safetensors", re.ASCII)
_FACTS: Final = "apportion"
_OWN: Final = "apportion."


@dataclass(frozen=True, slots=True)
class TrajectoryMode:
    """When to record. epochs: between two checkpoints, where that is the rule."""

    kind: str
    epochs: int = 0


def trajectory_mode(text: str) -> TrajectoryMode:
    """`every 30 epochs`, `losses` or `all`; raises LearnerError for anything else."""
    if text in {"losses", "all"}:
        return TrajectoryMode(text)
    found = _EPOCHS.fullmatch(text)
    if found is None or found[1] == "0":
        raise LearnerError(f"trajectory: {text!r} is not one of `every 30 epochs`, `losses` and `all`")
    return TrajectoryMode("epochs", int(found[1] or 1))


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRun:
    """C checkpoints of a run.

    models: parameters and buffers before each, and after the last step: [C + 1, ...]. optimizer: its state before each,
    `momentum.<parameter>`, or `mean.` and `square.`: [C, ...]. steps: numbers of the steps, from 0. rates: eta of each.
    spans: how many steps each stands for, up to the next one or the end. batches: positions of the instances in each
    step's batch, in order. facts: how parameters moved (see `workers.learners.torch_trajectory`).
    """

    models: Models
    optimizer: Models
    steps: IntArray
    rates: FloatArray
    spans: IntArray
    batches: tuple[IntArray, ...]
    facts: Mapping[str, Any]

    def __len__(self) -> int:
        """Number of checkpoints."""
        return len(self.steps)

    @property
    def whole(self) -> bool:
        """Every step is there."""
        return len(self) > 0 and bool((self.spans == 1).all()) and int(self.steps[0]) == 0


def solved_run(models: Models, members: BoolArray) -> RecordedRun:
    """The run of a learner that solves: its optimum, once as checkpoint and once as end, at rate 1."""
    return RecordedRun(
        models={name: np.concatenate([each, each]) for name, each in models.items()},
        optimizer={},
        steps=np.zeros(1, dtype=np.int64),
        rates=np.ones(1),
        spans=np.ones(1, dtype=np.int64),
        batches=(np.flatnonzero(members),),
        facts={"optimizer": SOLVED},
    )


def trajectory_file(identity: str, run: RecordedRun) -> tuple[str, bytes]:
    """Name and content of a run's file; identity: 16 hex digits that say whose run it is."""
    from safetensors.numpy import save  # noqa: PLC0415 - only where runs are recorded

    width = max((len(batch) for batch in run.batches), default=0)
    padded = np.full((len(run), width), -1, dtype=np.int64)
    for row, batch in zip(padded, run.batches, strict=True):
        row[: len(batch)] = batch
    arrays: dict[str, AnyArray] = {f"model.{name}": np.ascontiguousarray(each) for name, each in run.models.items()}
    arrays |= {f"optimizer.{name}": np.ascontiguousarray(each) for name, each in run.optimizer.items()}
    arrays |= {f"{_OWN}steps": run.steps, f"{_OWN}rates": run.rates, f"{_OWN}spans": run.spans}
    arrays[f"{_OWN}batches"] = padded
    content: bytes = save(arrays, {_FACTS: json.dumps(dict(run.facts), sort_keys=True)})
    return f"trajectory-{identity}-{content_hash(content)}.safetensors", content


def trajectory_stored(names: list[str], identity: str) -> str | None:
    """The file of that identity; the smallest name counts."""
    found = [name for name in sorted(names) if (match := _NAME.fullmatch(name)) and match[1] == identity]
    return found[0] if found else None


def read_trajectory(name: str, content: bytes) -> RecordedRun:
    """A run read back; raises ChunkError where the file is damaged or something else."""
    from safetensors import SafetensorError  # noqa: PLC0415 - see trajectory_file
    from safetensors.numpy import load  # noqa: PLC0415

    match = _NAME.fullmatch(name)
    if match is None or content_hash(content) != match[2]:
        raise ChunkError(f"{name}: damaged, or no recorded run")
    try:
        length = int.from_bytes(content[:8], "little")
        facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_FACTS])
        arrays = load(content)
        padded = arrays[f"{_OWN}batches"]
        return RecordedRun(
            models=_part(arrays, "model."),
            optimizer=_part(arrays, "optimizer."),
            steps=arrays[f"{_OWN}steps"],
            rates=arrays[f"{_OWN}rates"],
            spans=arrays[f"{_OWN}spans"],
            batches=tuple(row[row >= 0] for row in padded),
            facts=facts,
        )
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ChunkError(f"{name}: no recorded run: {error}") from error


def _part(arrays: Mapping[str, AnyArray], prefix: str) -> dict[str, AnyArray]:
    return {name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)}
