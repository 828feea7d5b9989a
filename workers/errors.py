"""Errors of the workers.

    WorkerError(Exception)
    |-- UserCodeError      the user's file cannot be imported, or what it names is not what is needed
    |-- LearnerError       a learner that cannot serve the data or the job (shape, loss not offered, determinism)
    |-- DeviceError        a device asked for is not there
    |-- StoreError         the chunk store cannot be reached or written
    |   `-- StoreAway      it does not answer now: the same may go through later
    `-- ChunkError         a chunk file that is corrupt, foreign or of a newer format

Failures of retrains are no errors: they are answers (`workers.outcomes.Failure`) and become failure rows.
"""


class WorkerError(Exception):
    """Base of this package's errors."""


class UserCodeError(WorkerError):
    """The user's code cannot be loaded, or what it names does not fit."""


class LearnerError(WorkerError):
    """A learner cannot serve the data or the job; the message ends with how to mend it, where that is said apart."""

    def __init__(self, what: str, *, mend: str = "") -> None:
        self.what, self.mend = what, mend
        super().__init__(f"{what}: {mend}" if mend else what)


class DeviceError(WorkerError):
    """A device asked for is not there."""


class StoreError(WorkerError):
    """The chunk store cannot be reached or written."""


class StoreAway(StoreError):
    """The chunk store does not answer; what was asked may go through later."""


class ChunkError(WorkerError):
    """A chunk file is corrupt, foreign or of a newer format."""
