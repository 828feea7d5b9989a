"""One entry of a job's `values`: a value and its numbers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from estimators.methods.value_label import AskedLabel, value_label

Shape = Annotated[float, Field(gt=0)]
Size = Annotated[int, Field(ge=1)]


class ValueSpec(BaseModel):
    """`{value: beta_shapley, alpha: 16, beta: 1}`; a plain name is the value with its defaults.

    alpha, beta: of beta_shapley. probability: of weighted_banzhaf. size, to_size: of values at one size of subset or
    at a band of sizes. `apportion methods` says which value takes which. of: a function of the losses kept
    (`estimators.transforms.expression`); over: the average over tests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str
    alpha: Shape | None = None
    beta: Shape | None = None
    probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    size: Size | None = None
    to_size: Size | None = None
    of: str | None = None
    over: Literal["each", "test", "class", "group"] | None = None

    @property
    def label(self) -> str:
        """All of it in one text: `beta_shapley(alpha=16, beta=1) of rank(margin) over class`."""
        value = value_label(self.value, self.model_dump(exclude={"value", "of", "over"}, exclude_none=True))
        return AskedLabel(value, self.of, self.over).text
