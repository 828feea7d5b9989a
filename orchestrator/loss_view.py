"""A campaign's losses as a value is asked on them: a loss kept or a function of them, averaged over tests or not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from estimators.arrays import AnyArray
from estimators.errors import EstimatorError
from estimators.retrains import EndRows, Retrains
from estimators.transforms.averages import EACH, Average
from estimators.transforms.expression import Expression, parse_expression

if TYPE_CHECKING:
    from orchestrator.campaign import Campaign


@dataclass(frozen=True, slots=True)
class LossView:
    """Losses of a campaign under a name. expression: None = the loss `names[0]` as it is stored."""

    campaign: "Campaign"
    label: str
    names: tuple[str, ...]
    expression: Expression | None
    average: Average

    def ends(self, *, with_train: bool = False) -> EndRows:
        """The end rows, seen so."""
        found = {name: self.campaign.ends(name, with_train=with_train) for name in self.names}
        first = found[self.names[0]]
        if self.is_plain:
            return first

        def seen(part: str) -> AnyArray | None:
            losses = {name: getattr(ends, part) for name, ends in found.items()}
            if any(each is None for each in losses.values()):
                return None
            return self._of({name: each.reshape(-1, each.shape[-1]) for name, each in losses.items()})

        full, empty = seen("full"), seen("empty")
        assert full is not None and empty is not None  # noqa: PT018 - end rows always have test losses
        full_train, empty_train = seen("full_train"), seen("empty_train")
        return replace(
            first,
            full=self.average(full),
            empty=self.average(empty)[0],
            full_train=full_train,
            empty_train=None if empty_train is None else empty_train[0],
        )

    def retrains(self, start: int, stop: int, *, with_train: bool = False) -> Iterator[Retrains]:
        """Draws start..stop-1, seen so."""
        streams = [self.campaign.retrains(name, start, stop, with_train=with_train) for name in self.names]
        if self.is_plain:
            yield from streams[0]
            return
        for blocks in zip(*streams, strict=True):
            train = None
            if with_train:
                train = self._of({name: block.train_losses for name, block in zip(self.names, blocks, strict=True)})
            losses = self._of({name: block.losses for name, block in zip(self.names, blocks, strict=True)})
            yield replace(blocks[0], losses=self.average(losses), train_losses=train)

    @property
    def is_plain(self) -> bool:
        """Whether it is a loss as it is stored."""
        return self.expression is None and self.average.codes is None

    def _of(self, losses: dict[str, AnyArray | None]) -> AnyArray:
        given = {name: each for name, each in losses.items() if each is not None}
        return given[self.names[0]] if self.expression is None else self.expression(given)


def loss_view(campaign: "Campaign", *, loss: str | None, of: str | None, over: str | None) -> LossView:
    """The view that a value is asked on. Raises EstimatorError for a loss, function or average that cannot be."""
    if loss is not None and of is not None:
        raise EstimatorError(
            f"both the loss {loss!r} and a function of losses, {of!r}, are asked for: name one of them"
        )
    expression = None if of is None else parse_expression(of, campaign.losses)
    name = campaign.loss_or_default(loss) if expression is None else expression.text
    average = EACH if over in {None, "each"} else campaign.axes.average(over, campaign.store.n_test)
    label = name if average is EACH else f"{name} over {over}"
    return LossView(campaign, label, (name,) if expression is None else expression.names, expression, average)
