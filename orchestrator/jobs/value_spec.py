"""One entry of a job's `values`: a value and its numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from estimators.methods.value_label import value_label

Shape = Annotated[float, Field(gt=0)]
Size = Annotated[int, Field(ge=1)]


class ValueSpec(BaseModel):
    """`{value: beta_shapley, alpha: 16, beta: 1}`; a plain name is the value with its defaults.

    alpha, beta: of beta_shapley. probability: of weighted_banzhaf. size, to_size: of values at one size of subset or
    at a band of sizes. `apportion methods` says which value takes which.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str
    alpha: Shape | None = None
    beta: Shape | None = None
    probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    size: Size | None = None
    to_size: Size | None = None

    @property
    def label(self) -> str:
        """The value with its numbers in one text, `beta_shapley(alpha=16, beta=1)`."""
        return value_label(self.value, self.model_dump(exclude={"value"}, exclude_none=True))
