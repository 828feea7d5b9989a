"""The seam of aggregators: losses of subsets in, influence out."""

from typing import Any, Protocol, TypeVar, runtime_checkable

from estimators.retrains import Retrains

State = TypeVar("State")
Result_co = TypeVar("Result_co", covariant=True)


class Aggregator(Protocol[State, Result_co]):
    """Four functions over a state of sufficient statistics; the result is an Influence or InstanceValues.

    Law: order-free to rounding, the same bits for the same blocks in the same order; memory independent of the
    number of retrains; every value with its standard error. `update` may return its argument changed in place, but
    never changes what `finish` has returned.
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

    def finish(self, state: State) -> Result_co:
        """Values with standard errors from the retrains seen."""
        ...


@runtime_checkable
class TwoPass(Aggregator[State, Result_co], Protocol[State, Result_co]):
    """An aggregator that asks for the rows again, once it has seen them all.

    Its own `finish` gives the same values with errors that sums alone can give; those of the second pass are exact.
    """

    def second(self, state: State) -> Aggregator[Any, Result_co]:
        """The aggregator of the second pass over the same rows."""
        ...
