"""Checkpoints in the middle of retrains: where they stand, and the seam of learners that go on from them.

A group of retrains that train together has a folder of its own, named by a hash of what fixes their bits. In it stand
states as safetensors, each written whole under a name that holds its step and its hash, and `group.json`, which says
whose they are. Nothing is executed when they are read. The folder is removed when the group's rows are stored.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np

from estimators.arrays import AnyArray, IntArray
from workers.chunk_name import content_hash
from workers.errors import LearnerError, StoreError
from workers.learner import Learner
from workers.whole_file import make_folder, sweep, write_whole

GROUP_DIGITS: Final = 24
WORK: Final = "work"


@dataclass(frozen=True, slots=True)
class CheckpointPlace:
    """Where checkpoints stand, an absolute path that all workers reach, and seconds between two."""

    folder: str
    every: float


@dataclass(slots=True)
class GroupCheckpoints:
    """The states of one group of retrains. every: seconds between two."""

    folder: Path
    every: float
    facts: Mapping[str, object] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _last: float | None = None

    def latest(self) -> dict[str, AnyArray] | None:
        """The newest state that is whole, None where there is none; damaged ones are passed over."""
        from safetensors import SafetensorError  # noqa: PLC0415 - only where there are checkpoints
        from safetensors.numpy import load  # noqa: PLC0415

        for path in sorted(self.folder.glob("*.safetensors"), reverse=True):
            content = path.read_bytes()
            if path.stem.partition("-")[2] != content_hash(content):
                continue
            try:
                arrays: dict[str, AnyArray] = load(content)
            except SafetensorError:
                continue
            return arrays
        return None

    def due(self) -> bool:
        """Whether it is time for the next state; the clock starts with the first question."""
        now = self.clock()
        if self._last is None:
            self._last = now
        return now - self._last >= self.every

    def save(self, step: int, arrays: Mapping[str, AnyArray]) -> None:
        """Keep the state after `step` steps, and then only this one. Raises StoreError where it cannot be written."""
        from safetensors.numpy import save  # noqa: PLC0415 - see latest

        content: bytes = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        path = self.folder / f"{step:012d}-{content_hash(content)}.safetensors"
        try:
            make_folder(self.folder)
            sweep(self.folder)
            if self.facts:
                write_whole(self.folder / "group.json", json.dumps(dict(self.facts), sort_keys=True, indent=1).encode())
            write_whole(path, content)
            for other in self.folder.glob("*.safetensors"):
                if other != path:
                    other.unlink(missing_ok=True)
        except OSError as error:
            mend = "make room, or name another folder: checkpoint: {folder: ...}"
            raise StoreError(f"cannot write a checkpoint into {self.folder}: {error}\n    {mend}") from error
        self._last = self.clock()

    def work_folder(self) -> Path:
        """A folder for what a function of the user's keeps between its calls for the same retrain."""
        folder = self.folder / WORK
        make_folder(folder)
        return folder

    def clear(self) -> None:
        """Remove everything of this group; harmless where nothing is."""
        shutil.rmtree(self.folder, ignore_errors=True)


@runtime_checkable
class Resumable(Protocol):
    """A learner whose retrains go on from a checkpoint.

    Law: a retrain that goes on gives the bits of one that was never disturbed.
    """

    def resuming(self, checkpoints: GroupCheckpoints) -> Learner:
        """The same learner for the one group that these checkpoints are of."""
        ...


def resuming(learner: Learner, checkpoints: GroupCheckpoints) -> Learner:
    """The learner with the checkpoints of a group; raises LearnerError where it cannot go on from any."""
    if isinstance(learner, Resumable):
        return learner.resuming(checkpoints)
    raise LearnerError(
        f"learner.checkpoint: a {type(learner).__name__} does not stop in the middle of a retrain: leave it out"
    )


def group_checkpoints(
    place: CheckpointPlace,
    *,
    campaign: str,
    keys: Sequence[bytes],
    replicates: IntArray,
    together: int,
    identity: str,
) -> GroupCheckpoints:
    """Checkpoints of the group of retrains named. identity: of training set, learner and code."""
    facts: dict[str, object] = {
        "identity": identity,
        "keys": [key.hex() for key in keys],
        "replicates": replicates.tolist(),
        "together": together,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:GROUP_DIGITS]
    return GroupCheckpoints(Path(place.folder) / f"{campaign}-{digest}", place.every, facts)


def clear_campaign(base: Path, campaign: str) -> None:
    """Remove what is left of a campaign's checkpoints, once all of its rows are stored."""
    for folder in base.glob(f"{campaign}-*"):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
    if base.is_dir() and not any(base.iterdir()):
        base.rmdir()
