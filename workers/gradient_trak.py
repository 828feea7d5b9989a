"""Blocks of TRAK: one a model, whose parts are averaged when they are read."""

from collections.abc import Callable

from estimators.gradient.source import GradientSource
from estimators.gradient.trak import model_scores
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_problem import GradientProblem, State
from workers.gradient_specs import GradientSpec, trak_projection


class TrakBlocks:
    """state: the parameters of model k."""

    def __init__(
        self, spec: GradientSpec, problem: GradientProblem, source: GradientSource, state: Callable[[int], State]
    ) -> None:
        self._spec, self._problem, self._source, self._state = spec, problem, source, state

    @property
    def cells(self) -> dict[Kind, int]:
        """A matrix a model."""
        return {"gradient": self._spec.models_needed * len(self._problem.train) * len(self._problem.test)}

    def tasks(self) -> list[GradientTask]:
        """One a model."""
        return [GradientTask("gradient", number, 0, 0) for number in range(self._spec.models_needed)]

    def compute(self, task: GradientTask) -> Computed:
        """One model's products and doubts, see `estimators.gradient.trak.ModelScores`."""
        number, damping = task.checkpoint, 0.0 if self._spec.damping is None else self._spec.damping
        found = model_scores(
            self._source,
            self._problem.train,
            self._problem.test,
            self._state(number),
            number,
            projection=trak_projection(self._spec),
            damping=damping,
        )
        arrays = {"products": found.products, "own": found.own}
        arrays |= {"train_doubt": found.train_doubt, "test_doubt": found.test_doubt}
        return Computed(arrays, found.products.size, {"damping": damping})
