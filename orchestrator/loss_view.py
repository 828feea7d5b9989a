"""A campaign's losses as a value is asked on them: a loss kept or a function of them, averaged over tests or not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from estimators.arrays import AnyArray
from estimators.errors import EstimatorError
from estimators.retrains import EndRows, Retrains
from estimators.transforms.averages import EACH, Average
from estimators.transforms.expression import Expression, parse_expression
from orchestrator.data.axes import Axes


class LossSource(Protocol):
    """What losses are read from: a campaign, or a pilot."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Those kept, the first is the default."""
        ...

    @property
    def axes(self) -> Axes:
        """What tests may be averaged over."""
        ...

    @property
    def n_test(self) -> int:
        """Number of tests."""
        ...

    def ends(self, loss: str, *, with_train: bool = False) -> EndRows:
        """Losses of D's replicates and of the empty subset."""
        ...

    def retrains(self, loss: str, start: int, stop: int, *, with_train: bool = False) -> Iterator[Retrains]:
        """Losses of draws start..stop-1."""
        ...


@dataclass(frozen=True, slots=True)
class LossView:
    """Losses of a campaign or pilot under a name. expression: None = the loss `names[0]` as it is stored."""

    source: LossSource
    label: str
    names: tuple[str, ...]
    expression: Expression | None
    average: Average

    def ends(self, *, with_train: bool = False) -> EndRows:
        """The end rows, seen so."""
        found = {name: self.source.ends(name, with_train=with_train) for name in self.names}
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
        streams = [self.source.retrains(name, start, stop, with_train=with_train) for name in self.names]
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


def loss_view(source: LossSource, *, loss: str | None, of: str | None, over: str | None) -> LossView:
    """The view that a value is asked on. Raises EstimatorError for a loss, function or average that cannot be."""
    if loss is not None and of is not None:
        raise EstimatorError(
            f"both the loss {loss!r} and a function of losses, {of!r}, are asked for: name one of them"
        )
    expression = None if of is None else parse_expression(of, source.losses)
    name = kept_loss(source.losses, loss) if expression is None else expression.text
    average = EACH if over in {None, "each"} else source.axes.average(over, source.n_test)
    label = name if average is EACH else f"{name} over {over}"
    return LossView(source, label, (name,) if expression is None else expression.names, expression, average)


def kept_loss(kept: tuple[str, ...], loss: str | None) -> str:
    """The loss asked for, or the first kept; raises EstimatorError where it is not kept."""
    if loss is None:
        return kept[0]
    if loss not in kept:
        raise EstimatorError(f"loss {loss!r} is not kept; kept are {', '.join(kept)}")
    return loss
