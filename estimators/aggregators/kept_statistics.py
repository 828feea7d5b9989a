"""What lets two influences add up: the sums behind them, and the law under which these may be merged."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from estimators.aggregators.protocol import Aggregator
from estimators.errors import WrongDesign
from estimators.influence import Influence, Statistics

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class KeptStatistics(Generic[State]):
    """An aggregator and its state. law: what two must have in common for their rows to be one set of rows."""

    law: str
    aggregator: Aggregator[State, Influence]
    state: State

    def merged(self, other: Statistics) -> Influence:
        """The influence from both sets of retrains; raises WrongDesign where their laws differ."""
        if not isinstance(other, KeptStatistics):
            raise WrongDesign(f"statistics of {self.law} do not merge with those of another kind of value")
        if other.law != self.law:
            raise WrongDesign(
                f"{self.law} and {other.law} estimate different things: add influences of one design with the same "
                "parameters on the same data and learner"
            )
        return self.aggregator.finish(self.aggregator.merge(self.state, other.state))
