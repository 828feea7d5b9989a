"""Errors of the driver, each with the exit code of the command.

    ApportionError(Exception)
    |-- JobError            2  the command line, the job file or the data is wrong; nothing was spent
    |-- FailedRetrains      3  finished, but more retrains failed than the tolerance allows
    |-- ResourceMissing     4  a cluster, tracking server, store or device is missing or refuses
    |   `-- ServerAway          it does not answer now: the same may go through later
    |-- StoreRefused        5  fingerprint, lease, format or corruption: refused to protect results
    |-- BudgetSpent         6  stopped in order before the budget was overspent, resumable
    `-- Interrupted         130/143  stopped by a signal, resumable

0 is done; 1 is a bug of ours and shows a traceback. Every message has three parts: where, what, how to mend.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (file:line, key path), what (value seen, expected), mend (what to type)."""

    what: str
    where: str = ""
    mend: str = ""

    def text(self) -> str:
        """The problem in lines, as the command prints it."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n    {self.mend}" if self.mend else head


class ApportionError(Exception):
    """Base of the driver's errors: one or more problems and an exit code."""

    exit_code = 1

    def __init__(self, what: str | list[Problem], *, where: str = "", mend: str = "") -> None:
        self.problems = [Problem(what, where, mend)] if isinstance(what, str) else what
        super().__init__("\n".join(problem.text() for problem in self.problems))


class JobError(ApportionError):
    """The command line, the job file or the data is wrong."""

    exit_code = 2


class FailedRetrains(ApportionError):
    """More retrains failed than the tolerance allows; everything else is stored."""

    exit_code = 3


class ResourceMissing(ApportionError):
    """Something outside cannot be reached or used."""

    exit_code = 4


class ServerAway(ResourceMissing):
    """The tracking server or its database does not answer; what was asked may go through later."""


class StoreRefused(ApportionError):
    """The store refuses, to protect what is in it."""

    exit_code = 5


class BudgetSpent(ApportionError):
    """The next chunk would overspend the job's budget; what was trained is stored, `apportion resume` goes on."""

    exit_code = 6


class Interrupted(ApportionError):
    """Stopped by a signal; `apportion resume` goes on."""

    def __init__(self, what: str, *, signal_number: int, mend: str = "") -> None:
        super().__init__(what, mend=mend)
        self.exit_code = 128 + signal_number
