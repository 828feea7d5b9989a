"""The values that can be read off a loss store: one row a method, with its paper, its cost and what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from estimators.aggregators.difference_of_means import DifferenceOfMeans
from estimators.aggregators.exact_semivalues import ExactSemivalue
from estimators.aggregators.held_out_loss import HeldOutLoss
from estimators.aggregators.leave_one_out import LeaveOneOutValues
from estimators.aggregators.memorization import Memorization
from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.semivalues import banzhaf_sizes, shapley_sizes
from estimators.designs.bernoulli import Bernoulli
from estimators.designs.making import DESIGNS, DesignEntry, design_entry
from estimators.designs.protocol import Design
from estimators.naming import entry_named
from estimators.predicted_errors import (
    ErrorPrediction,
    banzhaf_error,
    contrast_error,
    exact_shapley_error,
    held_out_error,
    leave_one_out_error,
)
from estimators.retrains import EndRows


class AggregatorMaker(Protocol):
    """Makes the aggregator of a value; its result is an Influence or InstanceValues."""

    def __call__(self, loss: str, ends: EndRows, design: Design) -> Aggregator[Any, Any]:
        """The aggregator on `loss`, with the end rows of the same loss."""
        ...


def _fits(design: Design) -> str:
    del design
    return ""


@dataclass(frozen=True, slots=True)
class ValueMethod:
    """A value. designs: names of those whose rows permit it.

    per_instance: its result is InstanceValues [n]; else an Influence [n, n_test]. meaning: one sentence for people.
    objection: why a design of an accepted name does not fit, or "".
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
    per_instance: bool = False
    needs_train_losses: bool = False
    objection: Callable[[Design], str] = _fits

    def accepts(self, design: Design) -> str:
        """Why rows of the design do not permit this value, naming designs that do; an empty text where they do."""
        if design.name not in self.designs:
            return f"{self.name} cannot be computed from design {design.name}: it takes {' or '.join(self.designs)}"
        return self.objection(design)

    def make(self, *, loss: str, ends: EndRows, design: Design) -> Aggregator[Any, Any]:
        """The aggregator of this value from rows of the design; `ends` are the end rows on the same loss."""
        return self.maker(loss, ends, design)

    def standard_error(self, spread: float, *, n: int, retrains: int, design: Design) -> float:
        """The standard error that `retrains` draws buy, from the standard deviation of a loss over draws."""
        return self.prediction(spread, n=n, retrains=retrains, design=design)


def _downsampling(loss: str, ends: EndRows, design: Design) -> Aggregator[Any, Any]:
    return DifferenceOfMeans(value="downsampling", loss=loss, design=design, ends=ends)


def _banzhaf(loss: str, ends: EndRows, design: Design) -> Aggregator[Any, Any]:
    if design.name == "exhaustive":
        return ExactSemivalue(value="banzhaf", loss=loss, design=design, ends=ends, p=banzhaf_sizes(design.n))
    return DifferenceOfMeans(value="banzhaf", loss=loss, design=design, ends=ends)


def _shapley(loss: str, ends: EndRows, design: Design) -> Aggregator[Any, Any]:
    return ExactSemivalue(value="shapley", loss=loss, design=design, ends=ends, p=shapley_sizes(design.n))


def _leave_one_out(loss: str, ends: EndRows, design: Design) -> Aggregator[Any, Any]:
    return LeaveOneOutValues(loss=loss, design=design, ends=ends)


def _memorization(loss: str, ends: EndRows, design: Design) -> Aggregator[Any, Any]:
    return Memorization(loss=loss, design=design, ends=ends)


def _held_out_loss(loss: str, ends: EndRows, design: Design) -> Aggregator[Any, Any]:
    return HeldOutLoss(loss=loss, design=design, ends=ends)


def _half(design: Design) -> str:
    if isinstance(design, Bernoulli) and design.probability != 0.5:
        return (
            f"banzhaf takes every subset as equally likely, which is bernoulli with probability 0.5; this design has "
            f"{design.probability:g}"
        )
    return ""


VALUES: Mapping[str, ValueMethod] = MappingProxyType(
    {
        method.name: method
        for method in (
            ValueMethod(
                name="leave_one_out",
                title="Leave-one-out influence",
                meaning=(
                    "How much higher the test loss is when the model is trained on everything but this instance; "
                    "of order 1/n, so often below the noise of a learner that depends on its seed."
                ),
                formula="L(D without i) - L(D)",
                paper="Cook and Weisberg 1982; Koh and Liang, ICML 2017",
                equation="Hammoudeh and Lowd 2024, equation 8",
                cost="n retrains, and replicates of D",
                designs=("leave_one_out",),
                maker=_leave_one_out,
                prediction=leave_one_out_error,
            ),
            ValueMethod(
                name="downsampling",
                title="Downsampling influence",
                meaning=(
                    "How much higher the test loss is when a random other instance stands in this one's place, over "
                    "random subsets of a fixed size; the values of a test instance sum to 0 over the training set, so "
                    "this is not the expected leave-one-out effect."
                ),
                formula="mean of L over subsets of size m without i - mean of L over subsets of size m with i",
                paper="Feldman and Zhang, NeurIPS 2020",
                equation="Hammoudeh and Lowd 2024, equation 9",
                cost="as many retrains as asked; error about s / sqrt(K t (1 - t)), t = m / n",
                designs=("uniform",),
                maker=_downsampling,
                prediction=contrast_error,
            ),
            ValueMethod(
                name="banzhaf",
                title="Banzhaf value",
                meaning=(
                    "How much an instance lowers the test loss when it joins a subset that holds each other instance "
                    "with probability 1/2; values do not sum to L(empty) - L(D)."
                ),
                formula="mean of L over subsets without i - mean of L over subsets with i, all subsets equally likely",
                paper="Banzhaf 1965; Wang and Jia, AISTATS 2023 (maximum sample reuse)",
                equation="Hammoudeh and Lowd 2024, equation 27",
                cost="as many retrains as asked (error about 2 s / sqrt(K)), or exactly from all 2^n subsets",
                designs=("bernoulli", "exhaustive"),
                maker=_banzhaf,
                prediction=banzhaf_error,
                objection=_half,
            ),
            ValueMethod(
                name="shapley",
                title="Shapley value",
                meaning=(
                    "How much an instance lowers the test loss when it joins the instances before it in a random "
                    "order; values sum to L(empty) - L(D)."
                ),
                formula="sum over S without i of |S|! (n-1-|S|)! / n! (L(S) - L(S and i))",
                paper="Shapley 1953; Ghorbani and Zou, ICML 2019",
                equation="Hammoudeh and Lowd 2024, equations 17 and 18",
                cost="2^n retrains (n up to 20), values exact",
                designs=("exhaustive",),
                maker=_shapley,
                prediction=exact_shapley_error,
            ),
            ValueMethod(
                name="memorization",
                title="Memorization",
                meaning=(
                    "How much higher an instance's own loss is when it was not trained on; high for mislabelled, "
                    "atypical and rare instances."
                ),
                formula="mean of L(z_i) over subsets without i - mean of L(z_i) over subsets with i",
                paper="Feldman, STOC 2020; Feldman and Zhang, NeurIPS 2020",
                equation="Hammoudeh and Lowd 2024, equation 4",
                cost="none beyond the retrains; losses on the training instances are kept",
                designs=("uniform", "bernoulli"),
                maker=_memorization,
                prediction=contrast_error,
                per_instance=True,
                needs_train_losses=True,
            ),
            ValueMethod(
                name="held_out_loss",
                title="Mean held-out loss",
                meaning=(
                    "The mean loss on an instance of models that were not trained on it: a loss, not an influence; "
                    "high for mislabelled, atypical and hard instances, low for regular ones."
                ),
                formula="mean of L(z_i) over subsets without i",
                paper="Jiang, Zhang, Talwar and Mozer, ICML 2021 (consistency profile, with the other sign)",
                equation="Hammoudeh and Lowd 2024, equation 15",
                cost="none beyond the retrains; losses on the training instances are kept",
                designs=("uniform", "bernoulli"),
                maker=_held_out_loss,
                prediction=held_out_error,
                per_instance=True,
                needs_train_losses=True,
            ),
        )
    }
)


def value_method(name: str) -> ValueMethod:
    """The value of that name; raises UnknownName with the nearest names."""
    return entry_named(name, VALUES, kind="value")


__all__ = ["DESIGNS", "VALUES", "DesignEntry", "ValueMethod", "design_entry", "value_method"]
