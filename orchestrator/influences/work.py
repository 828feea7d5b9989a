"""The seam of what works influences out: rows in, an influence out, block by block of test instances."""

from dataclasses import dataclass
from typing import Protocol

from estimators.aggregators.blocks import Again, aggregate
from estimators.column_blocks import ColumnBlock, blocks_of_tests, joined_influence
from estimators.designs.protocol import Design
from estimators.influence import Influence, InstanceValues
from estimators.methods.value_method import ValueMethod
from estimators.registry import value_method
from orchestrator.loss_view import LossView
from workers.value_work import ValueRequest

RESULT_BYTES = 2**28
"""Of the three arrays of a block's result, [n, width] each, at most: it is worked out in less than three times that."""


@dataclass(frozen=True, slots=True)
class InfluenceWork:
    """An influence to be worked out. rows: in plan order, with the losses of all tests; draws: how many they are."""

    request: ValueRequest
    rows: Again
    draws: int

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return int(self.request.ends.full.shape[1])

    @property
    def operations(self) -> float:
        """About how many additions and multiplications it takes."""
        n, steps = self.request.design.n, value_method(self.request.value).steps
        return 2.0 * n * self.n_test * (2.0 * self.draws + steps * n)

    def blocks(self, *, parts: int = 1) -> list[ColumnBlock]:
        """All test instances in at least `parts` blocks, where they are that many."""
        wanted = min(RESULT_BYTES // (24 * self.request.design.n), -(-self.n_test // parts) + 127)
        return blocks_of_tests(self.n_test, width=wanted, guided=value_method(self.request.value).guided)


class InfluencePool(Protocol):
    """Works influences out. Law: the same bits wherever it does, in whatever order blocks come back."""

    def influence(self, work: InfluenceWork) -> Influence:
        """The influence. Raises what the value's estimator raises, ResourceMissing where no worker is left."""
        ...


class InThisProcess:
    """One block after the other, each in one go through the rows (or two, where the value takes two).

    parts: in how many blocks at least.
    """

    def __init__(self, *, parts: int = 1) -> None:
        self._parts = parts

    def influence(self, work: InfluenceWork) -> Influence:
        """The influence."""
        blocks = work.blocks(parts=self._parts)
        return joined_influence(blocks, ((place, _found(work, block)) for place, block in enumerate(blocks)))


def worked_out(
    method: ValueMethod, view: LossView, design: Design, draws: int, pool: InfluencePool | None
) -> Influence | InstanceValues:
    """A value from the first `draws` draws of a design: an influence block by block, other values in one."""
    with_train = method.needs_train_losses
    rows, ends = Again(lambda: view.retrains(0, draws, with_train=with_train)), view.ends(with_train=with_train)
    if method.per_instance:
        found: InstanceValues = aggregate(method.make(loss=view.label, ends=ends, design=design), rows)
        return found
    request = ValueRequest(method.label, view.label, design, ends)
    return (pool or InThisProcess()).influence(InfluenceWork(request, rows, draws))


def _found(work: InfluenceWork, block: ColumnBlock) -> Influence:
    rows = Again(lambda: (block.of_rows(each) for each in work.rows))
    return aggregate(work.request.aggregator(block), rows)
