"""What a worker needs to become one: the learner's options, the data, the user's code, and where chunks go."""

from collections.abc import Mapping
from dataclasses import dataclass

from workers.dataset import Dataset
from workers.learner_specs import LearnerSpec
from workers.learners import make_learner
from workers.outcomes import ChunkTask, Outcome
from workers.stores import open_chunk_store
from workers.training import ChunkFacts, ChunkTrainer
from workers.user_code import CodeSnapshot


@dataclass(frozen=True, slots=True)
class CampaignPlace:
    """Where a campaign's chunks go, and what stands in the header of each."""

    address: str
    facts: ChunkFacts


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Travels to each worker once. campaigns: by id; all of a job's, so that no worker is started anew between two."""

    learner: LearnerSpec
    data: Dataset
    code: CodeSnapshot | None
    device: str
    together: int
    campaigns: Mapping[str, CampaignPlace]

    def make_trainer(self, worker: str) -> "CampaignTrainers":
        """Load data and learner once; raises WorkerError where that cannot be done here."""
        learner = make_learner(self.learner, self.data, self.code, device=self.device, together=self.together)
        trainers = {
            campaign: ChunkTrainer(learner, open_chunk_store(place.address), place.facts, worker=worker)
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
