"""A value's row in the table: what it is, which laws of a design permit it, and how it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from estimators.aggregators.protocol import Aggregator
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError
from estimators.methods.value_label import value_label
from estimators.naming import entry_named
from estimators.predicted_errors import ErrorPrediction
from estimators.retrains import EndRows

Options = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a value is asked on. value: the name that results carry; options: the value's numbers, all of them.

    guides: columns by which a guided value decides for all (`estimators.column_blocks`); none: it picks its own.
    """

    value: str
    loss: str
    ends: EndRows
    design: Design
    options: Options
    guides: tuple[int, ...] = ()


class AggregatorMaker(Protocol):
    """Makes the aggregator of a value; its result is an Influence or InstanceValues."""

    def __call__(self, asked: Asked) -> Aggregator[Any, Any]:
        """The aggregator on `asked.loss`, with the end rows of the same loss."""
        ...


class Objection(Protocol):
    """Decides by the law of a design whether its rows permit a value."""

    def __call__(self, design: Design, options: Options, draws: int | None) -> str:
        """Why not, and which design to run; an empty text where they do. draws: as many rows, None: any number."""
        ...


@dataclass(frozen=True, slots=True)
class Option:
    """A number that a value takes: its default, what it means, and whether it is permitted (a rule in words)."""

    default: float
    meaning: str
    rule: str
    permits: Callable[[float], bool]


@dataclass(frozen=True, slots=True)
class ValueMethod:
    """A value. designs: those that suit it best, by name; whether another will do is `accepts`'s to say, by its law.

    per_instance: its result is InstanceValues [n]; else an Influence [n, n_test]. meaning: one sentence for people.
    from_walks: its rows are walks (`estimators.walks`), not retrains of subsets.
    guided: what it decides for all tests it decides by a few columns of losses.
    linear: the value of the mean loss is the mean of the values, to rounding.
    steps: products of [n, n] by [n, n_test] that it takes beside those with the rows.
    takes: the numbers it takes; options: those given (the others have their defaults). by_request: computed only where
    it is asked for by name.
    """

    name: str
    title: str
    meaning: str
    formula: str
    paper: str
    equation: str
    cost: str
    designs: tuple[str, ...]
    maker: AggregatorMaker
    prediction: ErrorPrediction
    objection: Objection
    per_instance: bool = False
    needs_train_losses: bool = False
    from_walks: bool = False
    guided: bool = False
    steps: int = 0
    linear: bool = True
    by_request: bool = False
    takes: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))
    options: Options = field(default_factory=lambda: MappingProxyType({}))

    @property
    def label(self) -> str:
        """The value with the numbers given: `beta_shapley(alpha=4, beta=1)`; `value_method` reads it back."""
        return value_label(self.name, self.options)

    def with_options(self, given: Options) -> "ValueMethod":
        """The same value with numbers given. Raises UnknownName or EstimatorError where it does not take them."""
        if given and not self.takes:
            raise EstimatorError(f"{self.name} takes no options, not {' and '.join(given)}: leave them out")
        for name, number in given.items():
            option = entry_named(name, self.takes, kind=f"option of {self.name}")
            if not option.permits(number):
                raise EstimatorError(f"{self.name} with {name} {number:g}: {option.meaning} is {option.rule}")
        ordered = {name: float(given[name]) for name in self.takes if name in given}
        return replace(self, options=MappingProxyType({**self.options, **ordered}))

    def all_options(self) -> Options:
        """The numbers given, and defaults for the others."""
        return {name: self.options.get(name, option.default) for name, option in self.takes.items()}

    def accepts(self, design: Design, draws: int | None = None) -> str:
        """Why rows of the design do not permit this value, naming designs that do; an empty text where they do.

        draws: how many rows there are; None asks whether any number of them would do.
        """
        return self.objection(design, self.all_options(), draws)

    def make(self, *, loss: str, ends: EndRows, design: Design, guides: tuple[int, ...] = ()) -> Aggregator[Any, Any]:
        """The aggregator of this value from rows of the design; `ends` are the end rows on the same loss."""
        return self.maker(Asked(self.label, loss, ends, design, self.all_options(), guides))

    def standard_error(self, spread: float, *, n: int, retrains: int, design: Design) -> float:
        """The standard error that `retrains` draws buy, from the standard deviation of a loss over draws."""
        return self.prediction(spread, n=n, retrains=retrains, design=design, options=self.all_options())
