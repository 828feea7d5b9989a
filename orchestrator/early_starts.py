"""What takes seconds to start is begun while the learner shows itself; nothing of it outlives the run."""

from types import TracebackType
from typing import Self

from orchestrator.cluster.local_start import LocalStart
from orchestrator.cluster.ray_session import has_ray_session
from orchestrator.jobs.job import Job
from orchestrator.tracking.client import begin_database
from orchestrator.tracking.new_database import NewDatabase
from orchestrator.tracking.place import LocalPlace, tracking_place


class EarlyStarts:
    """Ray on this machine and the store's SQLite file, each None until it is begun, and where the job needs none."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.ray: LocalStart | None = None
        self.database: NewDatabase | None = None

    def begin_ray(self) -> None:
        """Begin Ray, where the job's workers run on one of their own."""
        if self._job.cluster.address == "local" and not has_ray_session():
            self.ray = LocalStart()

    def begin_database(self) -> None:
        """Begin the store, where it is a file; to be called where there is none yet."""
        place = tracking_place(self._job.store, self._job.folder, self._job.name)
        if isinstance(place, LocalPlace) and not place.database.exists():
            self.database = begin_database(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.ray is not None:
            self.ray.close()
        if self.database is not None:
            self.database.discard()
