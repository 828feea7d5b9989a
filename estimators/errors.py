"""Errors of the estimators.

    EstimatorError(ValueError)
    |-- UnknownName        a design or value that the registry does not have; carries the nearest names
    |-- ImpossibleDesign   a design whose parameters admit no subset (m > n, p outside [0, 1], 2^n too large)
    |-- WrongDesign        a value asked from rows whose inclusion law does not permit it
    `-- MissingRows        rows that a value cannot do without (v(D), train losses) are absent

Every message says what, where and how to mend; the orchestrator adds the line of the job file.
"""


class EstimatorError(ValueError):
    """Base of this package's errors."""


class UnknownName(EstimatorError):
    """No design or value of this name; the message lists the nearest ones."""


class ImpossibleDesign(EstimatorError):
    """The parameters of a design admit no subset."""


class WrongDesign(EstimatorError):
    """A value was asked from rows whose inclusion law does not permit it."""


class MissingRows(EstimatorError):
    """Rows that a value needs are absent."""
