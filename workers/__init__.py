"""What runs on the cluster: learners, chunk files and their stores, and the thin actor around them.

Learners import and run without Ray, MLflow and pydantic. Nothing heavy is imported here.
"""

from workers.chunk_store import ChunkStore as ChunkStore
from workers.dataset import Dataset as Dataset
from workers.errors import WorkerError as WorkerError
from workers.learner import Learner as Learner
from workers.learner import LearnerTraits as LearnerTraits
from workers.learner import Losses as Losses

__all__ = [
    "ChunkStore",
    "Dataset",
    "Learner",
    "LearnerTraits",
    "Losses",
    "WorkerError",
]
