"""Types that learners' options share, with their constraints."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

Scalar = str | int | float | bool | None
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]

Share = Annotated[float, Ge(0), Lt(1)]

ClassificationLoss = Literal["cross_entropy", "zero_one", "margin"]
RegressionLoss = Literal["squared_error", "absolute_error"]
HingeLoss = Literal["squared_hinge"]
LossName = ClassificationLoss | HingeLoss | RegressionLoss
