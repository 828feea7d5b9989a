"""What a job may spend at most."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Amount = Annotated[float, Field(gt=0)]

LIMITS = ("hours", "gpu_hours", "money", "retrains", "bytes")


class BudgetSpec(BaseModel):
    """`budget: {hours: 12, money: 40, price_per_hour: 0.8}`: limits over all runs of a job; none set, none held.

    hours: while workers are up. gpu_hours: those hours times the GPUs of the workers that are up. money: their worker
    hours times `price_per_hour`, what one worker costs an hour. retrains, bytes: what stands in the store.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hours: Amount | None = None
    gpu_hours: Amount | None = None
    money: Amount | None = None
    retrains: Annotated[int, Field(ge=1)] | None = None
    bytes: Amount | None = None
    price_per_hour: Annotated[float, Field(ge=0)] | None = None

    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        found = {name: getattr(self, name) for name in LIMITS}
        return {name: float(limit) for name, limit in found.items() if limit is not None}
