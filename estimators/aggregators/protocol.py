"""The seam of aggregators: losses of subsets in, influence out."""

from typing import Protocol, TypeVar

from estimators.influence import Influence
from estimators.retrains import Retrains

State = TypeVar("State")


class Aggregator(Protocol[State]):
    """Four functions over a state of sufficient statistics.

    Law: order-free to rounding, the same bits for the same order; memory independent of the number of
    retrains; every value with its standard error. `update` may return its argument changed in place.
    """

    def empty(self) -> State:
        """The state before any retrain."""
        ...

    def update(self, state: State, retrains: Retrains) -> State:
        """The state after a further block of retrains."""
        ...

    def merge(self, a: State, b: State) -> State:
        """The state of both blocks of retrains together; a and b are left unchanged."""
        ...

    def finish(self, state: State) -> Influence:
        """Influence with standard errors from the retrains seen."""
        ...
