"""Which chunk files a job's campaigns can use: those that hold every loss that their plans keep.

A row without one of them is trained again, and then stands in a second file; the first is left alone.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from orchestrator.plan import PLAN_FILE, PlanFacts
from orchestrator.store.chunk_files import Accept
from orchestrator.store.moved_rows import Moved
from orchestrator.tracking.runs import CampaignRun
from workers.chunk_types import ChunkHeader
from workers.errors import StoreError


class Keeps(Protocol):
    """Which losses are kept, and whether on the training instances too: a plan, or what a smoke retrain showed."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Their names."""
        ...

    @property
    def train_losses(self) -> bool:
        """Whether on the training instances too."""
        ...


def holding(plans: Collection[Keeps], moved: Mapping[str, Moved]) -> Accept:
    """Whether a file, by its header, holds the losses of all of these plans.

    Losses on the training instances are wanted on every instance that there is now: rows of an earlier version of the
    training set lack those on instances that are new.
    """
    losses = {name for plan in plans for name in plan.losses}
    train = {name for plan in plans if plan.train_losses for name in plan.losses}

    def accept(header: ChunkHeader) -> bool:
        if not losses <= {*header.losses} or not train <= {*header.train_losses}:
            return False
        then = moved.get(header.fingerprints.train)
        return then is None or not train or then.has_all

    return accept


def plan_of(run: CampaignRun) -> PlanFacts | None:
    """The plan that a campaign's run keeps, None where it has none yet."""
    chunks = run.chunk_store()
    try:
        return PlanFacts.decode(chunks.get(PLAN_FILE))
    except StoreError:
        if PLAN_FILE in chunks.names():
            raise
        return None
