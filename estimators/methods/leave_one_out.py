"""Leave-one-out."""

from typing import Any

from estimators.aggregators.leave_one_out import LeaveOneOutValues
from estimators.aggregators.protocol import Aggregator
from estimators.designs.protocol import Design
from estimators.methods.laws import lists_leave_one_out, refusal
from estimators.methods.value_method import Asked, Options, ValueMethod
from estimators.predicted_errors import leave_one_out_error


def _make(asked: Asked) -> Aggregator[Any, Any]:
    return LeaveOneOutValues(loss=asked.loss, design=asked.design, ends=asked.ends)


def _objection(design: Design, options: Options, draws: int | None) -> str:
    del options, draws
    if lists_leave_one_out(design):
        return ""
    return refusal("leave_one_out", design, "it takes D without each instance in turn", "design leave_one_out")


ROWS = (
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
        maker=_make,
        prediction=leave_one_out_error,
        objection=_objection,
    ),
)
