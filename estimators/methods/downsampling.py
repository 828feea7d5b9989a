"""Downsampling: an instance in place of a random other one."""

from typing import Any

from estimators.aggregators.difference_of_means import DifferenceOfMeans
from estimators.aggregators.protocol import Aggregator
from estimators.designs.protocol import Design
from estimators.methods.laws import fixed_size, refusal
from estimators.methods.value_method import Asked, Options, ValueMethod
from estimators.predicted_errors import contrast_error


def _make(asked: Asked) -> Aggregator[Any, Any]:
    return DifferenceOfMeans(value=asked.value, loss=asked.loss, design=asked.design, ends=asked.ends)


def _objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    if fixed_size(design) is not None:
        return ""
    return refusal("downsampling", design, "it takes random subsets of one size", "design uniform with a size")


ROWS = (
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
        maker=_make,
        prediction=contrast_error,
        objection=_objection,
    ),
)
