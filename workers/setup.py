"""What a worker needs to become one: the learner's options, the data, the user's code, and where chunks go."""

from collections.abc import Mapping
from dataclasses import dataclass

from workers.chunk_store import ChunkStore
from workers.dataset import Dataset
from workers.device import limit_gpu
from workers.learner_specs import LearnerSpec
from workers.learners import make_learner
from workers.outcomes import ChunkTask, Outcome
from workers.stores import open_chunk_store
from workers.training import ChunkFacts, ChunkTrainer
from workers.user_code import CodeSnapshot


@dataclass(frozen=True, slots=True)
class CampaignPlace:
    """Where a campaign's chunks go, and what stands in the header of each.

    witness: a file that is there already; a worker that cannot read it would train for nothing. Empty: not asked.
    """

    address: str
    facts: ChunkFacts
    witness: str = ""

    def opened(self) -> ChunkStore:
        """The store; raises StoreError where this machine does not reach it or may not read it."""
        store = open_chunk_store(self.address)
        if self.witness:
            store.get(self.witness)
        return store


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Travels to each worker once.

    campaigns: by id; all of a job's, so that no worker is started anew between two. gpu_share: of a GPU's memory, where
    several workers stand on one. devices: how many one retrain of a network takes.
    """

    learner: LearnerSpec
    data: Dataset
    code: CodeSnapshot | None
    device: str
    together: int
    campaigns: Mapping[str, CampaignPlace]
    gpu_share: float = 1.0
    devices: int = 1

    def make_trainer(self, worker: str) -> "CampaignTrainers":
        """Load data and learner once; raises WorkerError where that, or reaching the store, cannot be done here."""
        limit_gpu(self.gpu_share)
        stores = {campaign: place.opened() for campaign, place in self.campaigns.items()}
        learner = make_learner(
            self.learner,
            self.data,
            self.code,
            device=self.device,
            together=self.together,
            devices=self.devices,
        )
        trainers = {
            campaign: ChunkTrainer(learner, stores[campaign], place.facts, worker=worker)
            for campaign, place in self.campaigns.items()
        }
        return CampaignTrainers(trainers)


@dataclass(frozen=True, slots=True)
class CampaignTrainers:
    """One learner, and a trainer for each campaign's store."""

    trainers: Mapping[str, ChunkTrainer]

    def train(self, task: ChunkTask) -> Outcome:
        """Train and store a chunk of whichever campaign."""
        return self.trainers[task.campaign].train(task)
